import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PodUid, PolicyUid } from '../../../operator/core/brand.ts';
import type { CompiledPolicy } from '../../../operator/core/snapshot/types.ts';
import { canonicalAddress } from '../../../operator/proxy/address.ts';
import { indexSnapshot, Workloads, type NodeIndex } from '../../../operator/proxy/workloads.ts';
import { binding, FakeSnapshots, workload } from './support.ts';

function indexed(...content: Parameters<FakeSnapshots['set']>): NodeIndex {
  const snapshots = new FakeSnapshots();
  snapshots.set(...content);
  const snapshot = snapshots.current();
  const index = snapshot === undefined ? undefined : indexSnapshot(snapshot);
  assert.ok(index);
  return index;
}

function policy(name: string): CompiledPolicy {
  return {
    uid: name as PolicyUid,
    kind: 'MetadataPolicy',
    namespace: 'team',
    name,
    generation: 1,
    mode: 'Enforce',
    conceal: [],
    reveal: [],
  };
}

describe('canonical address', () => {
  for (const [text, expected] of [
    ['10.0.0.7', '10.0.0.7'],
    ['::ffff:10.0.0.7', '10.0.0.7'],
    ['::FFFF:0A00:0007', '10.0.0.7'],
    ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
    ['fd00::1%eth0', 'fd00::1'],
    ['', undefined],
    ['010.0.0.7', undefined],
    ['pod-a', undefined],
    ['10.0.0.7:80', undefined],
  ] as const) {
    it(`of ${JSON.stringify(text)} is ${String(expected)}`, () => {
      assert.equal(canonicalAddress(text), expected);
    });
  }
});

describe('index of a snapshot', () => {
  it('finds a pod by each of its addresses, however they are spelled', () => {
    const dual = { ...workload('a', '10.0.0.1', undefined), ips: ['10.0.0.1', 'FD00:0::A'] };
    const index = indexed({ workloads: [dual] });
    for (const address of ['10.0.0.1', 'fd00::a']) assert.equal(index.byAddress(address)?.workload.name, 'a');
    assert.equal(index.owns(dual.uid, 'fd00::a'), true);
    assert.equal(index.owns(dual.uid, '10.0.0.2'), false);
    assert.equal(index.byAddress('10.0.0.2'), undefined);
  });

  it('knows no pod for an address that two, or three, claim', () => {
    const claimants = ['a', 'b', 'c'].map((name) => workload(name, '10.0.0.1', undefined));
    for (const count of [2, 3]) {
      assert.equal(indexed({ workloads: claimants.slice(0, count) }).byAddress('10.0.0.1'), undefined);
    }
  });

  it('takes an address that one pod lists twice as its own', () => {
    const twice = { ...workload('a', '10.0.0.1', undefined), ips: ['10.0.0.1', '::ffff:10.0.0.1'] };
    assert.equal(indexed({ workloads: [twice] }).byAddress('10.0.0.1')?.workload.name, 'a');
  });

  it('ignores what is no address', () => {
    const hostile = { ...workload('a', '', undefined), ips: ['', '10.0.0.0/8', 'localhost'] };
    const index = indexed({ workloads: [hostile] });
    for (const text of hostile.ips) assert.equal(index.byAddress(text), undefined);
  });

  it('gives each pod the policies that select it and no others', () => {
    const pod = { ...workload('a', '10.0.0.1', undefined), policies: ['one' as PolicyUid] };
    const index = indexed({ workloads: [pod], policies: [policy('one'), policy('two')] });
    assert.deepEqual(
      index.byUid('pod-a' as PodUid)?.policies.map(({ name }) => name),
      ['one'],
    );
  });

  it('does not know a pod while a policy that selects it is missing, nor anybody else with its address', () => {
    const undecided = {
      ...workload('a', '10.0.0.1', binding('a')),
      policies: ['one' as PolicyUid, 'missing' as PolicyUid],
    };
    const neighbours = [workload('b', '10.0.0.1', undefined), workload('c', '10.0.0.3', undefined)];
    const index = indexed({ workloads: [undecided, ...neighbours], policies: [policy('one')] });
    assert.equal(index.byUid(undecided.uid), undefined);
    assert.equal(index.owns(undecided.uid, '10.0.0.1'), false);
    assert.equal(index.byAddress('10.0.0.1'), undefined);
    assert.equal(index.owners.size, 0);
    assert.equal(index.byAddress('10.0.0.3')?.workload.name, 'c');
  });

  it('groups bound pods by token owner', () => {
    const shared = binding('a');
    const index = indexed({
      workloads: [
        workload('a', '10.0.0.1', shared, 'sa'),
        workload('b', '10.0.0.2', shared, 'sa'),
        workload('c', '10.0.0.3', undefined),
      ],
    });
    assert.deepEqual(
      [...index.owners.values()].map(({ pods }) => pods.map(({ uid }) => uid)),
      [['pod-a', 'pod-b']],
    );
  });

  it('does not exist while the snapshot has no settings: nothing may be decided without them', () => {
    const snapshots = new FakeSnapshots();
    snapshots.set({ workloads: [workload('a', '10.0.0.1', undefined)] });
    const snapshot = snapshots.current();
    assert.ok(snapshot);
    const resources = new Map([...snapshot.resources].filter(([key]) => key !== 'settings/node'));
    assert.equal(indexSnapshot({ ...snapshot, resources }), undefined);
  });
});

describe('workloads', () => {
  it('are replaced as a whole, and listeners see the new ones', () => {
    const snapshots = new FakeSnapshots();
    const workloads = new Workloads(snapshots);
    assert.equal(workloads.current(), undefined);
    const seen: (string | undefined)[] = [];
    const unsubscribe = workloads.onChange(() => {
      seen.push(workloads.current()?.byAddress('10.0.0.1')?.workload.name);
    });
    snapshots.set({ workloads: [workload('a', '10.0.0.1', undefined)] });
    snapshots.set({ workloads: [workload('b', '10.0.0.1', undefined)] });
    unsubscribe();
    snapshots.set({});
    assert.deepEqual(seen, ['a', 'b']);
  });
});
