/** A decision as a person reads it: what the pod gets, from the function that decides in production. */
import { objectKey } from '../core/cluster/kinds.ts';
import type { AuditFinding, Decision, PolicySubject, ServiceAccountSource } from '../core/policy/decision.ts';
import { evaluatorOf } from '../core/policy/evaluate.ts';
import { referenceText, traceText } from '../core/policy/trace-text.ts';
import type { Coverage } from './ports.ts';
import type { Question } from './question.ts';
import type { TestCaseSpec } from './test-schema.ts';

export interface Audited {
  readonly policy: string;
  readonly trace: readonly string[];
}

export interface Verdict {
  readonly pod: string;
  readonly serviceAccount: string;
  readonly node: string;
  /** '' if none selects the node. */
  readonly metadataProxy: string;
  readonly path: string;
  readonly version: Question['version'];
  readonly decision: TestCaseSpec['decision'];
  readonly reason?: NonNullable<TestCaseSpec['reason']>;
  /** What that means to the pod, as a sentence. */
  readonly meaning: string;
  /** Whose account instance/service-accounts/ is for the pod. */
  readonly identity: string;
  /** Steps of the evaluation; the last one decided. */
  readonly trace: readonly string[];
  /** What Audit policies, or an Audit MetadataProxy, recorded. */
  readonly audit: readonly Audited[];
  /** What else is worth knowing, a sentence each. */
  readonly notes: readonly string[];
}

export function verdictOn({ pod, coverage, path, version }: Question): Verdict {
  const asked = {
    pod: objectKey(pod.namespace, pod.name),
    serviceAccount: pod.serviceAccountName,
    node: pod.nodeName,
    path: path.join('/'),
    version,
  };
  return coverage.kind === 'served'
    ? { ...asked, ...servedVerdict(coverage, path, version) }
    : { ...asked, ...unservedVerdict(coverage) };
}

type Answer = Omit<Verdict, 'pod' | 'serviceAccount' | 'node' | 'path' | 'version'>;

function servedVerdict(
  { subject, notes }: Extract<Coverage, { readonly kind: 'served' }>,
  path: Question['path'],
  version: Question['version'],
): Answer {
  const { account, evaluate } = evaluatorOf(subject);
  const decision = evaluate(path, version);
  return {
    metadataProxy: subject.settings.proxyName,
    ...outcomeOf(decision, account),
    identity: identityText(account, subject),
    trace: stepsOf(decision.trace),
    audit: decision.audit.map(auditOf),
    notes,
  };
}

function unservedVerdict({ why, proxyName }: Extract<Coverage, { readonly kind: 'not-intercepted' }>): Answer {
  return {
    metadataProxy: proxyName,
    decision: 'NotIntercepted',
    meaning: `${why}: requests are not intercepted`,
    identity: "what the node's own metadata server gives",
    trace: [],
    audit: [],
    notes: [],
  };
}

type Outcome = Pick<Verdict, 'decision' | 'reason' | 'meaning'>;

const reasons = { policy: 'Policy', profile: 'Profile', legacy: 'Legacy' } as const;

function outcomeOf(decision: Decision, account: ServiceAccountSource): Outcome {
  if (decision.kind === 'conceal') {
    return { decision: 'Conceal', reason: reasons[decision.reason], meaning: 'the request is answered with 403' };
  }
  const { origin, extent, path } = decision.permit;
  if (origin === 'node') return { decision: 'Reveal', meaning: nodeMeanings[extent] };
  // The listing itself is answered, empty; everything below it is 404 with advice.
  if (account.kind === 'absent' && path.length > accountsLevel) {
    return { decision: 'NoServiceAccount', meaning: 'the pod has no identity: 404, with advice' };
  }
  return { decision: 'Reveal', meaning: "served from the pod's own identity" };
}

/** instance/service-accounts */
const accountsLevel = 2;

const nodeMeanings = {
  node: "served from the node's tree, without what is concealed below",
  directory: 'only a listing or document of what is revealed below',
} as const;

function identityText(account: ServiceAccountSource, { workload }: PolicySubject): string {
  switch (account.kind) {
    case 'binding':
      return `${account.binding.email} (WorkloadIdentityBinding ${workload.namespace}/${account.binding.name})`;
    case 'federated':
      return `${account.binding.email} (federated identity)`;
    case 'node':
      return "the node's own";
    case 'absent':
      return `none: ${account.reason}`;
  }
}

function auditOf({ policy, trace }: AuditFinding): Audited {
  return { policy: referenceText(policy), trace: stepsOf(trace) };
}

function stepsOf(trace: Decision['trace']): readonly string[] {
  return trace.map((step) => traceText([step]));
}
