import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { buildNodeSnapshot } from '../../../../operator/core/snapshot/build.ts';
import { canonicalJson } from '../../../../operator/core/snapshot/canonical.ts';
import { diffSnapshots, snapshotOf } from '../../../../operator/core/snapshot/delta.ts';
import type { NodeSnapshot } from '../../../../operator/core/snapshot/types.ts';
import { metadataProxy, namespace, node, pod, provider, serviceAccount, storeOf } from '../../../builders/objects.ts';
import { change, changes, hash, optionsFor } from './world.ts';

const base = [node(), namespace(), serviceAccount(), provider(), metadataProxy()];

function snapshotAfter(steps: Parameters<typeof change>[1][]): NodeSnapshot {
  const store = storeOf(...base);
  const options = optionsFor(store);
  for (const step of steps) change(store, step);
  return buildNodeSnapshot(store, 'node-a', options) ?? snapshotOf([], hash);
}

const withPods = (...names: string[]) =>
  snapshotAfter(names.map((name) => ({ kind: 'upsert', object: pod({ name }) })));

describe('canonicalJson', () => {
  it('does not depend on the order of keys, and drops absent fields', () => {
    assert.equal(canonicalJson({ b: 1, a: [{ d: undefined, c: null }] }), '{"a":[{"c":null}],"b":1}');
    assert.equal(canonicalJson({ a: [{ c: null }], b: 1 }), canonicalJson({ b: 1, a: [{ c: null }] }));
  });

  it('keeps the order of lists', () => {
    assert.notEqual(canonicalJson([1, 2]), canonicalJson([2, 1]));
  });

  it('is JSON of the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        assert.deepEqual(JSON.parse(canonicalJson(value)), JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe('deltas', () => {
  it('carry only what differs', () => {
    const delta = diffSnapshots(withPods('a', 'b'), withPods('b', 'c'));
    assert.deepEqual(
      delta.upserts.map(({ key }) => key),
      ['workload/pod-web-c'],
    );
    assert.deepEqual(delta.removals, ['workload/pod-web-a']);
  });

  it('lead from any snapshot to any other', () => {
    fc.assert(
      fc.property(changes, changes, (before, after) => {
        const [from, to] = [snapshotAfter([...before]), snapshotAfter([...before, ...after])];
        const delta = diffSnapshots(from, to);
        assert.deepEqual([delta.from, delta.to], [from.version, to.version]);
        const resources = new Map(from.resources);
        for (const key of delta.removals) resources.delete(key);
        for (const upsert of delta.upserts) resources.set(upsert.key, upsert);
        assert.deepEqual(snapshotOf(resources.values(), hash), to);
      }),
      { numRuns: 150 },
    );
  });
});
