/** What a person asks about: a pod and a path, read by the parser that reads a pod's requests. */
import { objectKey } from '../core/cluster/kinds.ts';
import type { Pod } from '../core/cluster/objects.ts';
import type { ApiVersion, CanonicalPath, PolicySubject } from '../core/policy/decision.ts';
import { parseRequest } from '../core/request/parse.ts';
import { quote } from '../local/problem.ts';
import type { ExplainedCluster } from './ports.ts';

export interface Question {
  readonly subject: PolicySubject;
  readonly path: CanonicalPath;
  readonly version: ApiVersion;
}

/** Why there is nothing to ask. `what` and `fix` are safe to print. */
export interface Mistake {
  readonly kind: 'mistake';
  readonly about: 'pod' | 'path';
  readonly what: string;
  readonly fix: string;
}

export type ReadQuestion = { readonly kind: 'question'; readonly question: Question } | Mistake;

/**
 * @param podText `NAMESPACE/NAME`, or `NAME` where one pod only has it; of a workload its first pod is meant
 * @param pathText below `/computeMetadata/v1/`, or with a leading slash as a pod would send it
 */
export function readQuestion(cluster: ExplainedCluster, podText: string, pathText: string): ReadQuestion {
  const pod = findPod(cluster.pods(), podText);
  if ('about' in pod) return pod;
  const subject = cluster.subjectOf(pod);
  if (subject === undefined) return withoutProxy(pod);
  const place = readPath(pathText);
  return 'about' in place ? place : { kind: 'question', question: { subject, ...place } };
}

function findPod(pods: readonly Pod[], text: string): Pod | Mistake {
  const named = pods.filter((pod) => [pod.name, keyOfPod(pod)].includes(text));
  const found = named.length > 0 ? named : pods.filter((pod) => firstOfWorkload(pod).includes(text));
  const [first, ...more] = found;
  if (first === undefined) return mistake('pod', `there is no pod ${quote(text)}`, nameOneOf(pods));
  return more.length === 0 ? first : mistake('pod', `more than one pod is called ${quote(text)}`, nameOneOf(found));
}

/** Manifests have a Deployment where a person would name it; its first pod has its name and a zero. */
function firstOfWorkload({ namespace, name }: Pod): readonly string[] {
  const workload = /^(.+)-0$/.exec(name)?.[1];
  return workload === undefined ? [] : [workload, objectKey(namespace, workload)];
}

const namesShown = 5;

function nameOneOf(pods: readonly Pod[]): string {
  if (pods.length === 0) return 'add a Pod, or a workload such as a Deployment';
  const names = pods.slice(0, namesShown).map((pod) => quote(keyOfPod(pod)));
  return `use for example ${names.join(', ')}`;
}

function withoutProxy(pod: Pod): Mistake {
  const what = `no proxy serves pod ${quote(keyOfPod(pod))}`;
  return mistake('pod', what, 'add a MetadataProxy that selects its node, and see that the pod is not finished');
}

type Place = Pick<Question, 'path' | 'version'>;

/** As production parses it: what the parser refuses, no policy is ever asked about. */
function readPath(text: string): Place | Mistake {
  const target = text.startsWith('/') ? text : `/computeMetadata/v1/${text}`;
  const rawHeaders = ['Host', 'metadata.google.internal', 'Metadata-Flavor', 'Google'];
  const parsed = parseRequest({ method: 'GET', target, httpVersion: '1.1', rawHeaders });
  const example = 'write for example instance/attributes/kube-env';
  if (parsed.kind === 'rejected') {
    const { denial, detail } = parsed.rejection;
    return mistake('path', `${quote(text)} is refused before any policy: ${denial.code} (${detail})`, example);
  }
  const { path, version } = parsed.request;
  if (version === 'v1' || version === 'legacy') return { path, version };
  return mistake('path', `${quote(text)} is answered to everybody, without any policy`, example);
}

function mistake(about: Mistake['about'], what: string, fix: string): Mistake {
  return { kind: 'mistake', about, what, fix };
}

function keyOfPod({ namespace, name }: Pod): string {
  return objectKey(namespace, name);
}
