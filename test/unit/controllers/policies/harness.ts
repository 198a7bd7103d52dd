/** Both policy controllers at work on a store, fakes and a clock of their own. */
import { createHash } from 'node:crypto';
import type { Condition } from '../../../../operator/api/v1/index.ts';
import type { ContentHash, Hash } from '../../../../operator/core/brand.ts';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import { compilePolicy } from '../../../../operator/core/policy/compile.ts';
import { LastGoodPolicies } from '../../../../operator/core/snapshot/policies.ts';
import { PolicyCounters } from '../../../../operator/controllers/decisions/policy-counters.ts';
import { policyController } from '../../../../operator/controllers/policies/controller.ts';
import type { NetworkPolicyKinds } from '../../../../operator/controllers/policies/ports.ts';
import { ControllerRuntime } from '../../../../operator/controllers/runtime.ts';
import { storeOf } from '../../../builders/objects.ts';
import { FakeApiObjects } from '../../../fakes/api-objects.ts';
import { FakeEvents, FakeProgramming } from '../../../fakes/controllers.ts';
import { FakeTimers, settle } from '../../../fakes/timers.ts';

export const sha256: Hash = (text) => createHash('sha256').update(text).digest('hex') as ContentHash;
export const ownNamespace = 'metaveil-system';

export function startPolicies(...objects: readonly StoredObject[]) {
  const store = storeOf(...objects);
  const api = new FakeApiObjects(store);
  const timers = new FakeTimers();
  const events = new FakeEvents();
  const programming = new FakeProgramming();
  const lastGood = new LastGoodPolicies(compilePolicy);
  lastGood.follow(store);
  const cluster: { kinds: NetworkPolicyKinds } = { kinds: { denyKinds: [], cilium: false } };
  const failures: unknown[] = [];
  /** What a replica has in memory; `runtime` starts one that has nothing. */
  const memory: { counters: PolicyCounters } = { counters: new PolicyCounters(store) };
  const options = {
    cluster: store,
    writer: api,
    events,
    programming,
    effective: lastGood.effective.bind(lastGood),
    discovery: { discover: () => Promise.resolve(cluster.kinds) },
    timers,
    hash: sha256,
    ownNamespace,
  };
  const runtime = () => {
    const counters = new PolicyCounters(store);
    memory.counters = counters;
    return new ControllerRuntime(
      store,
      (['MetadataPolicy', 'ClusterMetadataPolicy'] as const).map((kind) =>
        policyController({ ...options, counters, kind }),
      ),
      { timers, random: () => 0.5, onFailure: (_controller, _key, error) => failures.push(error) },
    );
  };
  return { store, api, timers, events, programming, memory, cluster, failures, runtime };
}

export type Policies = ReturnType<typeof startPolicies>;

/** Starts a controller and lets it do what there is to do. */
export async function run(policies: Policies): Promise<ControllerRuntime> {
  const runtime = policies.runtime();
  runtime.start();
  await settle();
  return runtime;
}

/** A condition as `STATUS REASON`, of the object in the store. */
export function conditionOf(
  policies: Policies,
  kind: 'MetadataPolicy' | 'ClusterMetadataPolicy',
  key: string,
  type: string,
): string {
  const found = fullCondition(policies, kind, key, type);
  return found === undefined ? 'absent' : `${found.status} ${found.reason}`;
}

export function fullCondition(
  { store }: Policies,
  kind: 'MetadataPolicy' | 'ClusterMetadataPolicy',
  key: string,
  type: string,
): Condition | undefined {
  return store.get(kind, key)?.status?.conditions?.find((each) => each.type === type);
}

export function networkPoliciesOf({ api }: Policies): readonly string[] {
  return api.names().filter((name) => name.startsWith('NetworkPolicy'));
}
