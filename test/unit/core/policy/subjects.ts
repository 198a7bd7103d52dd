/** Subjects of decisions: complete by default, each test states only what matters to it. */
import type { BindingUid, NodeUid, PodUid, PolicyUid, ServiceAccountUid } from '../../../../operator/core/brand.ts';
import { compilePattern } from '../../../../operator/core/policy/compile.ts';
import type { CanonicalPath, Decision, PolicySubject } from '../../../../operator/core/policy/decision.ts';
import type { Pattern } from '../../../../operator/core/policy/pattern.ts';
import type {
  BindingView,
  CompiledPolicy,
  NodeSettings,
  Workload,
  WorkloadIdentity,
} from '../../../../operator/core/snapshot/types.ts';

export const email = 'api@my-project.iam.gserviceaccount.com';

export function pattern(text: string): Pattern {
  const compiled = compilePattern(text);
  if (compiled.kind === 'compiled') return compiled.pattern;
  throw new Error(`${text}: ${compiled.error.message}`);
}

export function bindingView(overrides: Partial<BindingView> = {}): BindingView {
  return {
    uid: 'binding-1' as BindingUid,
    name: 'api',
    generation: 1,
    epoch: '',
    access: 'Impersonate',
    email,
    tokenLifetimeSeconds: 3600,
    ...overrides,
  };
}

export const bound: WorkloadIdentity = { kind: 'bound', binding: bindingView() };
export const unbound: WorkloadIdentity = { kind: 'unbound', reason: 'no-binding' };
/** An unbound workload whose provider offers it a federated identity. */
export const federated: WorkloadIdentity = {
  kind: 'bound',
  binding: bindingView({ name: '', access: 'Direct', email: 'pool.global.123.workload.id.goog' }),
};

export function workload(identity: WorkloadIdentity = bound): Workload {
  return {
    uid: 'pod-1' as PodUid,
    namespace: 'web',
    name: 'api-0',
    serviceAccount: { name: 'api', uid: 'sa-1' as ServiceAccountUid },
    hostNetwork: false,
    ips: ['10.0.0.7'],
    identity,
    policies: [],
  };
}

export function settings(overrides: Partial<NodeSettings> = {}): NodeSettings {
  return {
    nodeName: 'node-a',
    nodeUid: 'node-1' as NodeUid,
    proxyName: 'default',
    mode: 'Enforce',
    defaultProfile: 'Baseline',
    unboundWorkloads: 'Deny',
    hostNetworkWorkloads: 'Identify',
    platform: 'GCE',
    emulated: {
      projectId: 'my-project',
      numericProjectId: '123456789012',
      zone: 'europe-west4-a',
      instanceId: '6512345678901234567',
      instanceName: 'node-a',
      hostname: 'node-a.c.my-project.internal',
      clusterName: 'prod',
      clusterLocation: 'europe-west4',
      clusterUid: 'f00d',
      universeDomain: 'googleapis.com',
      attributes: { 'kube-env': 'SECRET-KUBE-ENV', team: 'web' },
    },
    ...overrides,
  };
}

interface PolicyText {
  readonly mode?: CompiledPolicy['mode'];
  readonly profile?: CompiledPolicy['profile'];
  readonly conceal?: readonly string[];
  readonly reveal?: readonly string[];
  readonly legacyEndpoints?: CompiledPolicy['legacyEndpoints'];
}

export function policy(kind: CompiledPolicy['kind'], name: string, text: PolicyText): CompiledPolicy {
  const { profile, legacyEndpoints } = text;
  return {
    uid: `${kind}-${name}` as PolicyUid,
    kind,
    namespace: kind === 'MetadataPolicy' ? 'web' : '',
    name,
    generation: 1,
    mode: text.mode ?? 'Enforce',
    conceal: (text.conceal ?? []).map(pattern),
    reveal: (text.reveal ?? []).map(pattern),
    ...(profile === undefined ? {} : { profile }),
    ...(legacyEndpoints === undefined ? {} : { legacyEndpoints }),
  };
}

export const mdp = (name: string, text: PolicyText) => policy('MetadataPolicy', name, text);
export const cmdp = (name: string, text: PolicyText) => policy('ClusterMetadataPolicy', name, text);

export function subject(
  policies: readonly CompiledPolicy[] = [],
  identity: WorkloadIdentity = bound,
  overrides: Partial<NodeSettings> = {},
): PolicySubject {
  return { workload: workload(identity), settings: settings(overrides), policies };
}

/** A path from its text; '' is the tree's root. */
export function path(text: string): CanonicalPath {
  return text === '' ? [] : text.split('/');
}

/** One word for a decision: `reveal`, `directory`, `own`, or `concealed-by-…`. */
export function wordFor(decision: Decision): string {
  if (decision.kind === 'conceal') return `concealed-by-${decision.reason}`;
  if (decision.permit.origin === 'workload') return 'own';
  return decision.permit.extent === 'directory' ? 'directory' : 'reveal';
}
