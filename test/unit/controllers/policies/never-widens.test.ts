import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { matchesSelector } from '../../../../operator/core/selector/selector.ts';
import { clusterMetadataPolicy, metadataPolicy, namespace, networkPolicy, node } from '../../../builders/objects.ts';
import { settle } from '../../../fakes/timers.ts';
import { networkPoliciesOf, run, startPolicies } from './harness.ts';
import type { Policies } from './harness.ts';

const values = ['a', 'b'] as const;
const keys = ['app', 'tier'] as const;
const selector = fc.dictionary(fc.constantFrom(...keys), fc.constantFrom(...values), { maxKeys: 2 });

/** Every set of labels a pod can have as far as the selectors here can tell. */
const labelSets = [undefined, ...values].flatMap((app) =>
  [undefined, ...values].map((tier) => ({ ...(app && { app }), ...(tier && { tier }) })),
);

const step = fc.oneof(
  fc.record({
    kind: fc.constant('theirs' as const),
    name: fc.constantFrom('one', 'two', 'three'),
    podSelector: fc.option(selector, { nil: undefined }),
  }),
  fc.record({
    kind: fc.constantFrom('ours' as const, 'cluster' as const, 'exception' as const),
    name: fc.constantFrom('one', 'two'),
    podSelector: fc.option(selector, { nil: undefined }),
  }),
  fc.record({ kind: fc.constant('restart' as const) }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

let generation = 1;

/** An absent podSelector removes the object. */
function take(policies: Policies, change: Exclude<Step, { readonly kind: 'restart' }>): void {
  const { kind, name, podSelector } = change;
  const spec = { podSelector: { matchLabels: podSelector ?? {} } };
  const metadata = { generation: (generation += 1) };
  if (kind === 'theirs') {
    if (podSelector === undefined) policies.store.remove('NetworkPolicy', `web/${name}`);
    else policies.store.upsert(networkPolicy({ name, ...spec }));
  } else if (kind === 'ours') {
    if (podSelector === undefined) policies.store.remove('MetadataPolicy', `web/${name}`);
    else policies.store.upsert(metadataPolicy({ name, spec, metadata }));
  } else if (podSelector === undefined) policies.store.remove('ClusterMetadataPolicy', `${kind}-${name}`);
  else {
    const directEgress = kind === 'exception' ? 'Allow' : 'Deny';
    policies.store.upsert(
      clusterMetadataPolicy({ name: `${kind}-${name}`, spec: { ...spec, directEgress }, metadata }),
    );
  }
}

function selectsAny(policies: Policies, names: readonly string[], labels: Readonly<Record<string, string>>): boolean {
  return policies.store
    .networkPolicies('web')
    .filter(({ name }) => names.includes(name))
    .some(({ podSelector }) => matchesSelector(podSelector, labels));
}

function checkEgress(policies: Policies): void {
  const ours = networkPoliciesOf(policies).map((name) => name.replace('NetworkPolicy web/', ''));
  for (const labels of labelSets) {
    const isolated = selectsAny(policies, ['one', 'two', 'three'], labels);
    const exempt = policies.store
      .clusterPolicies()
      .some(({ spec }) => spec.directEgress === 'Allow' && matchesSelector(spec.podSelector, labels));
    const asked = [...policies.store.policies('web'), ...policies.store.clusterPolicies()].some(
      ({ spec }) => spec.directEgress === 'Deny' && matchesSelector(spec.podSelector, labels),
    );
    assert.equal(selectsAny(policies, ours, labels), asked && !isolated && !exempt, JSON.stringify(labels));
  }
}

describe('after any changes and restarts', () => {
  it('exactly the pods that no other egress policy selects are blocked: never one more, never one less', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const policies = startPolicies(namespace(), node());
        let runtime = await run(policies);
        for (const change of steps) {
          if (change.kind !== 'restart') take(policies, change);
          else {
            await runtime.stop();
            runtime = await run(policies);
          }
          await settle();
          checkEgress(policies);
        }
        await runtime.stop();
        assert.deepEqual(policies.failures, []);
      }),
      { numRuns: 150 },
    );
  });
});
