/** What nodes counted, as the node API hands it on. */
import { compilePolicy } from '../../../../operator/core/policy/compile.ts';
import type { PodUid, ServiceAccountUid } from '../../../../operator/core/brand.ts';
import type { AnyPolicy } from '../../../../operator/core/snapshot/policies.ts';
import type { CompiledPolicy, Workload } from '../../../../operator/core/snapshot/types.ts';
import type { LegacyRequests, NodeCounts, PolicyDecisions } from '../../../../operator/nodeapi/server/ports.ts';

export function compiled(policy: AnyPolicy): CompiledPolicy {
  const outcome = compilePolicy(policy);
  if (outcome.kind === 'compiled') return outcome.policy;
  throw new Error('the policy does not compile');
}

export function decided(
  policy: AnyPolicy | undefined,
  decision: PolicyDecisions['decision'],
  count = 1,
  proxyName = 'default',
): NodeCounts {
  return { proxyName, decisions: [{ policy: policy && compiled(policy), decision, count }], legacy: [] };
}

export function concealed(policy: AnyPolicy | undefined, count = 1): NodeCounts {
  return decided(policy, 'concealed', count);
}

export function workload(name = 'api-0', namespace = 'web', serviceAccount = 'api'): Workload {
  return {
    uid: `pod-${namespace}-${name}` as PodUid,
    namespace,
    name,
    serviceAccount: { name: serviceAccount, uid: `sa-${namespace}-${serviceAccount}` as ServiceAccountUid },
    hostNetwork: false,
    ips: [],
    identity: { kind: 'unbound', reason: 'no-binding' },
    policies: [],
  };
}

export function legacy(request: Partial<LegacyRequests> = {}): NodeCounts {
  const requests = { workload: workload(), endpoint: 'instance/id', access: 'denied', count: 1, ...request } as const;
  return { proxyName: 'default', decisions: [], legacy: [requests] };
}
