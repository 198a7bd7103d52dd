import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { NetworkPolicy } from '../../../../operator/core/cluster/objects.ts';
import { blockedAddresses } from '../../../../operator/core/egress/addresses.ts';
import { planEgress } from '../../../../operator/core/egress/plan.ts';
import type { EgressNamespace, EgressQuestion } from '../../../../operator/core/egress/plan.ts';
import { selectionOf, selectorOf } from '../../../../operator/core/egress/selection.ts';
import { matchesSelector } from '../../../../operator/core/selector/selector.ts';

const everything = { namespaces: [], pods: [] };

function networkPolicy(overrides: Partial<NetworkPolicy>): NetworkPolicy {
  return {
    kind: 'NetworkPolicy',
    uid: 'np-1',
    namespace: 'shop',
    name: 'theirs',
    labels: {},
    podSelector: {},
    policyTypes: ['Egress'],
    egress: [],
    ...overrides,
  };
}

function shop(overrides: Partial<EgressNamespace>): EgressNamespace {
  return {
    name: 'shop',
    labels: { 'kubernetes.io/metadata.name': 'shop' },
    pods: [{ name: 'web', labels: { app: 'web' }, hostNetwork: false }],
    networkPolicies: [],
    ...overrides,
  };
}

function ask(overrides: Partial<EgressQuestion>) {
  return planEgress({
    scope: everything,
    exceptions: [],
    namespaces: [shop({})],
    capabilities: { cilium: false, redirectsInKernel: true },
    blocked: blockedAddresses(new Set(['GCE'])),
    ...overrides,
  });
}

describe('an open namespace', () => {
  it('gets one NetworkPolicy for the selected pods', () => {
    const plan = ask({ scope: { namespaces: [], pods: selectionOf({ matchLabels: { app: 'web' } }) } });
    assert.equal(plan.reason, 'Blocked');
    assert.deepEqual(plan.networkPolicies, [
      { namespace: 'shop', pods: [{ key: 'app', operator: 'In', values: ['web'] }] },
    ]);
  });

  it('leaves out pods that another egress policy isolates', () => {
    const isolated = networkPolicy({ podSelector: { matchLabels: { app: 'db' } } });
    const plan = ask({ namespaces: [shop({ networkPolicies: [isolated] })] });
    assert.deepEqual(plan.networkPolicies, [
      { namespace: 'shop', pods: [{ key: 'app', operator: 'NotIn', values: ['db'] }] },
    ]);
  });

  it('ignores a policy that isolates for ingress only', () => {
    const ingress = networkPolicy({ policyTypes: ['Ingress'] });
    assert.equal(ask({ namespaces: [shop({ networkPolicies: [ingress] })] }).networkPolicies.length, 1);
  });

  it('counts host-network pods as not covered', () => {
    const pods = [{ name: 'agent', labels: {}, hostNetwork: true }];
    assert.match(ask({ namespaces: [shop({ pods })] }).message, /Not covered: 1 host-network pods/);
  });
});

describe('a default-deny namespace', () => {
  it('gets no NetworkPolicy under any policy', () => {
    const labelSet = fc.dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom('a', 'b'));
    fc.assert(
      fc.property(labelSet, (matchLabels) => {
        const plan = ask({
          scope: { namespaces: [], pods: selectionOf({ matchLabels }) },
          namespaces: [shop({ networkPolicies: [networkPolicy({})] })],
        });
        assert.deepEqual(plan.networkPolicies, []);
        assert.equal(plan.reason, 'CoveredByOtherPolicies');
      }),
    );
  });

  it('is never opened: no pod is selected by a NetworkPolicy of ours and by one of theirs', () => {
    const labelSet = fc.dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom('a', 'b'));
    fc.assert(
      fc.property(labelSet, fc.array(labelSet, { maxLength: 3 }), labelSet, (own, others, podLabels) => {
        const theirs = others.map((matchLabels) => networkPolicy({ podSelector: { matchLabels } }));
        const plan = ask({
          scope: { namespaces: [], pods: selectionOf({ matchLabels: own }) },
          namespaces: [shop({ networkPolicies: theirs })],
        });
        const ours = plan.networkPolicies.some(({ pods }) => matchesSelector(selectorOf(pods), podLabels));
        const isolated = theirs.some(({ podSelector }) => matchesSelector(podSelector, podLabels));
        assert.equal(ours && isolated, false);
      }),
      { numRuns: 1000 },
    );
  });

  const rows = [
    { rule: {}, address: '169.254.169.254' },
    { rule: { to: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }, address: '169.254.169.254' },
    {
      rule: { to: [{ ipBlock: { cidr: '169.254.0.0/16', except: ['169.254.170.0/24'] } }] },
      address: '169.254.169.254',
    },
    { rule: { to: [{ ipBlock: { cidr: 'fd20::/16' } }], ports: [{ port: 1, endPort: 100 }] }, address: 'fd20:ce::254' },
    { rule: { to: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['169.254.169.254/32'] } }] }, address: undefined },
    { rule: { to: [{ podSelector: {} }] }, address: undefined },
    { rule: { ports: [{ protocol: 'UDP', port: 80 }] }, address: undefined },
    { rule: { ports: [{ port: 443 }] }, address: undefined },
    { rule: { ports: [{ port: 'http' }] }, address: undefined },
    { rule: { to: [{ ipBlock: { cidr: 'nonsense' } }] }, address: undefined },
  ] as const;
  for (const { rule, address } of rows) {
    it(`${address === undefined ? 'is covered' : `names ${address} as reachable`} with the rule ${JSON.stringify(rule)}`, () => {
      const plan = ask({ namespaces: [shop({ networkPolicies: [networkPolicy({ egress: [rule] })] })] });
      assert.equal(plan.reason, address === undefined ? 'CoveredByOtherPolicies' : 'ReachableThroughOtherPolicy');
      if (address !== undefined) assert.ok(plan.message.includes(`shop/theirs allows ${address}:80`), plan.message);
    });
  }

  it('says so and writes nothing where leaving its pods out cannot be expressed', () => {
    const theirs = [1, 2, 3, 4].map((n) =>
      networkPolicy({ podSelector: { matchLabels: { [`x${n}`]: 'y', [`z${n}`]: 'y' } } }),
    );
    const plan = ask({ namespaces: [shop({ networkPolicies: theirs })] });
    assert.equal(plan.reason, 'WouldWidenEgress');
    assert.deepEqual(plan.networkPolicies, []);
  });
});

describe('a cluster-level deny kind', () => {
  const capabilities = { denyKind: 'ClusterNetworkPolicy', cilium: false, redirectsInKernel: true } as const;

  it('is preferred, whatever NetworkPolicies exist', () => {
    const plan = ask({ capabilities, namespaces: [shop({ networkPolicies: [networkPolicy({})] })] });
    assert.equal(plan.reason, 'Blocked');
    assert.deepEqual(plan.networkPolicies, []);
    assert.deepEqual(plan.denials, [{ kind: 'ClusterNetworkPolicy', scope: everything }]);
  });

  it('leaves out an exception by namespace or pod labels', () => {
    const exception = {
      namespaces: selectionOf({ matchLabels: { team: 'infra' } }),
      pods: selectionOf({ matchLabels: { app: 'agent' } }),
    };
    assert.deepEqual(
      ask({ capabilities, exceptions: [exception] }).denials.map(({ scope }) => scope),
      [
        { namespaces: [{ key: 'team', operator: 'NotIn', values: ['infra'] }], pods: [] },
        { namespaces: [], pods: [{ key: 'app', operator: 'NotIn', values: ['agent'] }] },
      ],
    );
  });
});

describe('Cilium', () => {
  it('gets no block that would cut off the redirected traffic', () => {
    const plan = ask({
      capabilities: { denyKind: 'CiliumClusterwideNetworkPolicy', cilium: true, redirectsInKernel: true },
    });
    assert.equal(plan.reason, 'NotSupportedOnCilium');
    assert.deepEqual([...plan.denials, ...plan.networkPolicies], []);
  });

  it('gets no plain NetworkPolicy', () => {
    const plan = ask({ capabilities: { cilium: true, redirectsInKernel: false } });
    assert.equal(plan.reason, 'NotSupportedOnCilium');
    assert.deepEqual(plan.networkPolicies, []);
  });
});
