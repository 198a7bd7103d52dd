import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MetaveilError } from '../../../../operator/core/errors.ts';
import {
  clusterMetadataPolicy,
  metadataPolicy,
  metadataProxy,
  namespace,
  networkPolicy,
  node,
  pod,
} from '../../../builders/objects.ts';
import { settle } from '../../../fakes/timers.ts';
import { conditionOf, fullCondition, networkPoliciesOf, ownNamespace, run, startPolicies } from './harness.ts';

const gce = node({ providerID: 'gce://my-project/europe-west4-a/node-a' });
const tight = 'web/tight';

/** The one NetworkPolicy of ours. */
function onlyBlock(policies: ReturnType<typeof startPolicies>): { readonly name: string; readonly spec: unknown } {
  const names = networkPoliciesOf(policies);
  assert.equal(names.length, 1, names.join(', '));
  const [name = ''] = names;
  return { name, spec: policies.api.object(name)['spec'] };
}

describe('more policies than a namespace may have', () => {
  const second = (index: number) => new Date(Date.UTC(2026, 0, 1) + index * 1000).toISOString();
  const named = (index: number) =>
    metadataPolicy({
      name: `p${index}`,
      metadata: { creationTimestamp: second(index) },
      spec: { directEgress: 'Deny' },
    });

  it('are not accepted and block nothing, until there is room', async () => {
    const all = Array.from({ length: 33 }, (_, index) => named(index));
    const policies = startPolicies(namespace(), gce, metadataProxy(), pod(), ...all);
    await run(policies);
    const said = (type: string) => conditionOf(policies, 'MetadataPolicy', 'web/p32', type);
    assert.equal(said('Accepted'), 'False TooManyPolicies');
    assert.equal(said('Ready'), 'False TooManyPolicies');
    assert.equal(said('DirectEgress'), 'Unknown TooManyPolicies');
    assert.equal(conditionOf(policies, 'MetadataPolicy', 'web/p31', 'Accepted'), 'True Accepted');
    assert.equal(networkPoliciesOf(policies).length, 32);
    policies.store.remove('MetadataPolicy', 'web/p0');
    await settle();
    assert.equal(said('Accepted'), 'True Accepted');
  });
});

describe('a policy that denies direct egress', () => {
  it('gets its NetworkPolicy, labelled with its owner, and says so', async () => {
    const policies = startPolicies(namespace(), gce, metadataProxy(), pod(), metadataPolicy());
    await run(policies);
    const { name } = onlyBlock(policies);
    assert.match(name, /^NetworkPolicy web\/metaveil-tight-[0-9a-f]{10}$/);
    assert.deepEqual(policies.api.object(name).metadata.labels, {
      'app.kubernetes.io/managed-by': 'metaveil-controller',
      'metaveil.dev/owner-kind': 'MetadataPolicy',
      'metaveil.dev/owner-namespace': 'web',
      'metaveil.dev/owner-name': 'tight',
    });
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'DirectEgress'), 'True Blocked');
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'Ready'), 'True Ready');
    assert.deepEqual(policies.events.take(), ['Normal Ready']);
  });

  it('writes nothing when nothing changed: not on a wake, not after a restart', async () => {
    const policies = startPolicies(namespace(), gce, metadataProxy(), pod(), metadataPolicy(), clusterMetadataPolicy());
    const first = await run(policies);
    policies.api.take();
    policies.store.upsert(namespace('web', { touched: 'yes' }));
    await settle();
    await first.stop();
    await run(policies);
    assert.deepEqual(policies.api.take(), []);
    assert.deepEqual(policies.failures, []);
  });

  it('repairs what somebody changed in its NetworkPolicy', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    await run(policies);
    const { name, spec } = onlyBlock(policies);
    policies.api.change(name, (object) => ({ ...object, spec: { ...(spec as object), egress: [{}] } }));
    await settle();
    assert.deepEqual(onlyBlock(policies).spec, spec);
  });

  it('makes it anew when somebody deleted it', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    await run(policies);
    const { name } = onlyBlock(policies);
    await policies.api.delete(
      { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', namespace: 'web', name: name.split('/')[1] ?? '' },
      policies.api.object(name).metadata.uid ?? '',
    );
    await settle();
    assert.equal(onlyBlock(policies).name, name);
  });

  it('withdraws the wider NetworkPolicy before it applies the narrower one', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    await run(policies);
    const wide = onlyBlock(policies).name;
    policies.api.take();
    policies.store.upsert(networkPolicy({ podSelector: { matchLabels: { app: 'db' } } }));
    await settle();
    const narrow = onlyBlock(policies);
    assert.deepEqual(policies.api.take(), [`delete ${wide}`, `apply ${narrow.name}`]);
    const { podSelector } = narrow.spec as { readonly podSelector: unknown };
    assert.deepEqual(podSelector, { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['db'] }] });
  });

  it('withdraws it at once when somebody else isolates every pod, and never touches theirs', async () => {
    const policies = startPolicies(namespace(), pod(), metadataPolicy());
    await run(policies);
    const theirs = networkPolicy({ name: 'default-deny' });
    policies.store.upsert(theirs);
    await settle();
    assert.deepEqual(networkPoliciesOf(policies), []);
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'DirectEgress'), 'True CoveredByOtherPolicies');
    assert.ok(policies.api.take().every((call) => !call.includes('default-deny')));
    policies.store.remove('NetworkPolicy', 'web/default-deny');
    await settle();
    assert.equal(networkPoliciesOf(policies).length, 1);
  });

  it('does not apply the narrower one when the wider one cannot be deleted, and tries again', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    await run(policies);
    const { name } = onlyBlock(policies);
    policies.api.take();
    const down = new MetaveilError('kubernetes-unavailable', 'DELETE: timed out');
    policies.api.refuse = (call) => (call.startsWith('delete') ? down : undefined);
    policies.store.upsert(networkPolicy({ podSelector: { matchLabels: { app: 'db' } } }));
    await settle();
    assert.deepEqual(policies.api.take(), [`delete ${name}`]);
    assert.deepEqual(policies.failures, [down]);
    policies.api.refuse = () => undefined;
    await policies.timers.advance(1_000);
    assert.notEqual(onlyBlock(policies).name, name);
  });

  it('protects the other namespaces when the API server refuses one, and does not claim to be done', async () => {
    const policies = startPolicies(namespace('a'), namespace('b'), namespace('c'), clusterMetadataPolicy());
    policies.api.refuse = (call) =>
      call.startsWith('apply NetworkPolicy b/') ? new MetaveilError('kubernetes-refused', 'admission') : undefined;
    await run(policies);
    assert.deepEqual(
      networkPoliciesOf(policies).map((name) => name.split(/[ /]/)[1]),
      ['a', 'c'],
    );
    assert.equal(conditionOf(policies, 'ClusterMetadataPolicy', 'platform', 'Ready'), 'absent');
    assert.ok(policies.failures.length > 0);
    policies.api.refuse = () => undefined;
    await policies.timers.advance(60_000);
    assert.equal(networkPoliciesOf(policies).length, 3);
    assert.equal(conditionOf(policies, 'ClusterMetadataPolicy', 'platform', 'Ready'), 'True Ready');
  });

  it('leaves namespaces alone in which nothing can be created any more', async () => {
    const ending = { ...namespace('ending'), deleting: true };
    const policies = startPolicies(namespace(), ending, clusterMetadataPolicy());
    await run(policies);
    assert.match(onlyBlock(policies).name, /^NetworkPolicy web\//);
  });

  it('covers a namespace as soon as it exists', async () => {
    const policies = startPolicies(namespace(), clusterMetadataPolicy());
    await run(policies);
    policies.store.upsert(namespace('shop'));
    await settle();
    assert.equal(networkPoliciesOf(policies).length, 2);
  });

  it('never selects our own namespace, by whichever kind of policy and of block', async () => {
    for (const denyKinds of [[], ['ClusterNetworkPolicy']] as const) {
      const own = metadataPolicy({ namespace: ownNamespace });
      const policies = startPolicies(namespace(ownNamespace), pod({ namespace: ownNamespace }), own);
      policies.cluster.kinds = { denyKinds, cilium: false };
      await run(policies);
      assert.deepEqual(policies.api.names(), []);
      assert.equal(
        conditionOf(policies, 'MetadataPolicy', `${ownNamespace}/tight`, 'DirectEgress'),
        'True NothingSelected',
      );
      assert.equal(policies.store.get('MetadataPolicy', `${ownNamespace}/tight`)?.status?.workloads, 0);
    }
  });

  it('does not select it as a ClusterMetadataPolicy either', async () => {
    const policies = startPolicies(namespace(ownNamespace), namespace(), clusterMetadataPolicy());
    policies.cluster.kinds = { denyKinds: ['ClusterNetworkPolicy'], cilium: false };
    await run(policies);
    const [name = ''] = policies.api.names();
    const { subject } = policies.api.object(name)['spec'] as { readonly subject: unknown };
    assert.deepEqual(subject, {
      pods: {
        namespaceSelector: {
          matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: [ownNamespace] }],
        },
        podSelector: {},
      },
    });
  });
});

describe('exceptions', () => {
  const exception = clusterMetadataPolicy({
    name: 'agents',
    spec: { podSelector: { matchLabels: { app: 'agent' } }, directEgress: 'Allow' },
  });

  it('are left out of every block as long as they exist', async () => {
    const policies = startPolicies(namespace(), metadataPolicy(), exception);
    await run(policies);
    const { podSelector } = onlyBlock(policies).spec as { readonly podSelector: unknown };
    assert.deepEqual(podSelector, { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['agent'] }] });
    assert.equal(
      conditionOf(policies, 'ClusterMetadataPolicy', 'agents', 'DirectEgress'),
      'Unknown AllowedByException',
    );
    assert.equal(conditionOf(policies, 'ClusterMetadataPolicy', 'agents', 'Ready'), 'True Ready');
    policies.store.remove('ClusterMetadataPolicy', 'agents');
    await settle();
    assert.deepEqual((onlyBlock(policies).spec as { readonly podSelector: unknown }).podSelector, {});
  });

  it('except nothing in mode Audit', async () => {
    const audited = { ...exception, spec: { ...exception.spec, mode: 'Audit' as const } };
    const policies = startPolicies(namespace(), metadataPolicy(), audited);
    await run(policies);
    assert.deepEqual((onlyBlock(policies).spec as { readonly podSelector: unknown }).podSelector, {});
  });
});

describe('a policy that does not deny', () => {
  const rows = [
    { spec: { directEgress: 'Unmanaged' }, message: /leaves it to others/ },
    { spec: { mode: 'Audit' }, message: /Audit blocks and allows nothing/ },
  ] as const;
  for (const { spec, message } of rows) {
    it(`withdraws its block with ${JSON.stringify(spec)}`, async () => {
      const policies = startPolicies(namespace(), metadataPolicy());
      await run(policies);
      assert.equal(networkPoliciesOf(policies).length, 1);
      policies.store.upsert(metadataPolicy({ spec, metadata: { generation: 2 } }));
      await settle();
      assert.deepEqual(networkPoliciesOf(policies), []);
      const condition = fullCondition(policies, 'MetadataPolicy', tight, 'DirectEgress');
      assert.equal(condition?.status, 'Unknown');
      assert.match(condition.message, message);
      assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'Ready'), 'True Ready');
    });
  }
});

describe('a policy that does not compile', () => {
  const broken = ['instance/attributes/a', 'project//b'];

  it('is rejected whole, with field and position; the last good version goes on, blocks included', async () => {
    const policies = startPolicies(namespace(), pod(), metadataPolicy());
    await run(policies);
    const { name } = onlyBlock(policies);
    const spec = { conceal: broken, directEgress: 'Unmanaged' } as const;
    policies.store.upsert(metadataPolicy({ spec, metadata: { generation: 2 } }));
    await settle();
    assert.equal(onlyBlock(policies).name, name);
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'Accepted'), 'False InvalidPolicy');
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'Ready'), 'False InvalidPolicy');
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'Stalled'), 'True InvalidPolicy');
    const message = fullCondition(policies, 'MetadataPolicy', tight, 'Accepted')?.message ?? '';
    assert.match(message, /^spec\.conceal\[1\], character 9: a segment is empty/);
    assert.match(message, /The last good version keeps working\.$/);
    assert.deepEqual(policies.events.take(), ['Normal Ready', 'Warning InvalidPolicy']);
  });

  it('has no effect if no version ever compiled, and does not say that one keeps working', async () => {
    const policies = startPolicies(namespace(), pod(), metadataPolicy({ spec: { conceal: broken } }));
    await run(policies);
    assert.deepEqual(networkPoliciesOf(policies), []);
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'DirectEgress'), 'Unknown InvalidPolicy');
    const message = fullCondition(policies, 'MetadataPolicy', tight, 'Accepted')?.message ?? '';
    assert.match(message, /Nothing of it is in effect\.$/);
    assert.equal(policies.store.get('MetadataPolicy', tight)?.status?.workloads, 0);
  });

  it('names some of very many errors, so that the status has room for them', async () => {
    const conceal = Array.from({ length: 64 }, () => '/');
    const policies = startPolicies(namespace(), metadataPolicy({ spec: { conceal } }));
    await run(policies);
    const message = fullCondition(policies, 'MetadataPolicy', tight, 'Accepted')?.message ?? '';
    assert.match(message, /; and 59 more\./);
  });
});

describe('the end of a policy', () => {
  it('takes its objects along, and nobody else’s', async () => {
    const other = metadataPolicy({ name: 'other' });
    const policies = startPolicies(namespace(), metadataPolicy(), other, clusterMetadataPolicy({ name: 'tight' }));
    await run(policies);
    assert.equal(networkPoliciesOf(policies).length, 3);
    policies.store.remove('MetadataPolicy', tight);
    await settle();
    const owners = networkPoliciesOf(policies).map((name) => policies.api.object(name).metadata.labels ?? {});
    assert.deepEqual(
      owners.map((labels) => `${labels['metaveil.dev/owner-kind']} ${labels['metaveil.dev/owner-name']}`).sort(),
      ['ClusterMetadataPolicy tight', 'MetadataPolicy other'],
    );
  });

  it('takes along what was applied for it while it was deleted, though the store has not seen it yet', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    policies.api.echoes = false;
    policies.api.meanwhile = (call) => {
      if (call.startsWith('apply')) policies.store.remove('MetadataPolicy', tight);
    };
    await run(policies);
    assert.deepEqual(networkPoliciesOf(policies), []);
    policies.api.echo();
    assert.deepEqual(policies.failures, []);
  });

  it('is made up for after a restart, if nobody looked: the sweep deletes orphans only', async () => {
    const before = startPolicies(namespace(), metadataPolicy(), metadataPolicy({ name: 'gone' }));
    await run(before);
    const after = startPolicies(namespace(), metadataPolicy());
    for (const name of networkPoliciesOf(before)) after.api.put(before.api.object(name));
    const unlabelled = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', spec: { podSelector: {} } };
    after.api.put({ ...unlabelled, metadata: { name: 'theirs', namespace: 'shop' } });
    const managed = { 'app.kubernetes.io/managed-by': 'metaveil-controller' };
    after.api.put({ ...unlabelled, metadata: { name: 'by-hand', namespace: 'shop', labels: managed } });
    await run(after);
    assert.deepEqual(
      networkPoliciesOf(after).map((name) => name.replace(/-[0-9a-f]{10}$/, '')),
      ['NetworkPolicy shop/by-hand', 'NetworkPolicy shop/theirs', 'NetworkPolicy web/metaveil-tight'],
    );
  });

  it('does not carry over to a policy of the same name', async () => {
    const policies = startPolicies(namespace(), metadataPolicy({ spec: { podSelector: { matchLabels: { a: 'b' } } } }));
    await run(policies);
    const { name } = onlyBlock(policies);
    policies.store.upsert(metadataPolicy({ metadata: { uid: 'recreated' } }));
    await settle();
    assert.notEqual(onlyBlock(policies).name, name);
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'Ready'), 'True Ready');
  });
});

describe('cluster-level deny kinds', () => {
  const kinds = { denyKinds: ['GlobalNetworkPolicy'], cilium: false } as const;

  it('replace NetworkPolicies when they are installed, and are not applied again when nothing changed', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    const first = await run(policies);
    const { name } = onlyBlock(policies);
    policies.cluster.kinds = kinds;
    policies.api.take();
    policies.store.upsert(namespace('web', { touched: 'yes' }));
    await settle();
    const [denial = ''] = policies.api.names();
    assert.match(denial, /^GlobalNetworkPolicy metaveil\.metaveil-tight-/);
    const writes = policies.api.take().filter((call) => !call.startsWith('status'));
    assert.deepEqual(writes, [`delete ${name}`, 'apply Tier metaveil', `apply ${denial}`]);
    await policies.timers.advance(10_000);
    policies.api.take();
    await first.stop();
    await run(policies);
    assert.deepEqual(policies.api.take(), []);
  });

  it('are swept like NetworkPolicies', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    policies.cluster.kinds = kinds;
    await run(policies);
    policies.store.remove('MetadataPolicy', tight);
    await settle();
    assert.deepEqual(policies.api.names(), ['Tier metaveil']);
  });
});

describe('a new generation', () => {
  it('is announced as Unknown before its own state is written', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    await run(policies);
    policies.api.statuses.splice(0);
    policies.store.upsert({
      ...metadataPolicy({ spec: { profile: 'Restricted' }, metadata: { generation: 2 } }),
      status: policies.store.get('MetadataPolicy', tight)?.status ?? {},
    });
    await settle();
    const written = policies.api.statuses as {
      readonly observedGeneration: number;
      readonly conditions: readonly { readonly type: string; readonly status: string; readonly reason: string }[];
    }[];
    assert.deepEqual(
      written.map(({ observedGeneration, conditions: [ready] }) => [observedGeneration, ready?.type, ready?.status]),
      [
        [2, 'Ready', 'Unknown'],
        [2, 'Ready', 'True'],
      ],
    );
  });
});

describe('programming', () => {
  it('follows what the nodes acknowledge', async () => {
    const policies = startPolicies(namespace(), pod(), metadataPolicy());
    await run(policies);
    const uid = metadataPolicy().metadata.uid ?? '';
    policies.programming.set(uid, { desired: 2, programmed: 1 });
    await settle();
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'Programmed'), 'Unknown NodesPending');
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'Reconciling'), 'True NodesPending');
    policies.programming.set(uid, { desired: 2, programmed: 1, disconnected: ['node-b'] });
    await settle();
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'Programmed'), 'True Programmed');
    policies.programming.set(uid, { desired: 2, programmed: 1, rejected: [{ node: 'node-b', reason: 'too deep' }] });
    await settle();
    assert.equal(conditionOf(policies, 'MetadataPolicy', tight, 'Programmed'), 'False NodesRejected');
    assert.match(fullCondition(policies, 'MetadataPolicy', tight, 'Ready')?.message ?? '', /node-b \(too deep\)/);
    assert.deepEqual(policies.store.get('MetadataPolicy', tight)?.status?.nodes, {
      desired: 2,
      programmed: 1,
      summary: '1/2',
    });
  });
});
