/** What a person asks about: a pod and a path, read by the parser that reads a pod's requests. */
import { objectKey } from '../core/cluster/kinds.ts';
import type { Pod } from '../core/cluster/objects.ts';
import type { ApiVersion, CanonicalPath } from '../core/policy/decision.ts';
import { parseRequest } from '../core/request/parse.ts';
import { quote } from '../local/problem.ts';
import type { Coverage, ExplainedCluster, PodName } from './ports.ts';

export interface Question {
  readonly pod: Pod;
  readonly coverage: Exclude<Coverage, { readonly kind: 'nobody' }>;
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

/** A pod and a path as a person or a test file writes them. */
export interface Asked {
  /** `NAMESPACE/NAME`, or `NAME`; of a workload its first pod is meant. */
  readonly pod: string;
  /** Below `/computeMetadata/v1/`, or with a leading slash as a pod would send it. */
  readonly path: string;
}

/** @param namespace where a pod without namespace is looked for; undefined: in all, if one pod only has the name */
export function readQuestion(cluster: ExplainedCluster, asked: Asked, namespace: string | undefined): ReadQuestion {
  const pod = findPod(cluster, asked.pod, namespace);
  if ('about' in pod) return pod;
  const coverage = cluster.coverageOf(pod);
  if (coverage.kind === 'nobody') return mistake('pod', coverage.why, coverage.fix);
  const place = readPath(asked.path);
  return 'about' in place ? place : { kind: 'question', question: { pod, coverage, ...place } };
}

/** `namespace` is undefined if neither the text nor `fallback` has one. */
export function podNameOf(text: string, fallback: string | undefined): Partial<PodName> & Pick<PodName, 'name'> {
  const slash = text.indexOf('/');
  if (slash >= 0) return { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
  return { name: text, ...(fallback !== undefined && { namespace: fallback }) };
}

function findPod(cluster: ExplainedCluster, text: string, fallback: string | undefined): Pod | Mistake {
  const { namespace, name } = podNameOf(text, fallback);
  const pods = cluster.pods().filter((pod) => namespace === undefined || pod.namespace === namespace);
  const named = pods.filter((pod) => pod.name === name);
  const found = named.length > 0 ? named : firstPods(pods.filter((pod) => cluster.workloadsOf(pod).includes(name)));
  const [first, ...more] = found;
  if (first === undefined) {
    const shown = pods.length > 0 ? pods : cluster.pods();
    const place = text.includes('/') || namespace === undefined ? '' : ` in namespace ${quote(namespace)}`;
    return mistake('pod', `there is no pod ${quote(text)}${place}`, nameOneOf(shown));
  }
  return more.length === 0 ? first : mistake('pod', `more than one pod is called ${quote(text)}`, nameOneOf(found));
}

/** Of the workload's pods in each namespace the first one that runs, if any does. */
function firstPods(pods: readonly Pod[]): readonly Pod[] {
  const firsts = new Map<string, Pod>();
  const running = pods.filter(({ phase, nodeName }) => phase === 'Running' && nodeName !== '');
  for (const pod of [...running, ...pods]) if (!firsts.has(pod.namespace)) firsts.set(pod.namespace, pod);
  return [...firsts.values()];
}

const namesShown = 5;

function nameOneOf(pods: readonly Pod[]): string {
  if (pods.length === 0) return 'name a Pod that exists, or a workload such as a Deployment';
  const names = pods.slice(0, namesShown).map(({ namespace, name }) => quote(objectKey(namespace, name)));
  return `use for example ${names.join(', ')}`;
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
