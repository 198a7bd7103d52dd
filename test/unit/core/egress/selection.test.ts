import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { selectionOf, selectorOf, subtract } from '../../../../operator/core/egress/selection.ts';
import type { Selection } from '../../../../operator/core/egress/selection.ts';
import { matchesSelector } from '../../../../operator/core/selector/selector.ts';

const key = fc.constantFrom('app', 'tier', 'constructor');
const value = fc.constantFrom('a', 'b', 'c', '');
const labels = fc.dictionary(key, value, { maxKeys: 3 });
const requirement = fc.oneof(
  fc.record({
    key,
    operator: fc.constantFrom('In' as const, 'NotIn' as const),
    values: fc.uniqueArray(value, { minLength: 1, maxLength: 3 }),
  }),
  fc.record({
    key,
    operator: fc.constantFrom('Exists' as const, 'DoesNotExist' as const),
    values: fc.constant<string[]>([]),
  }),
);
const selection: fc.Arbitrary<Selection> = fc.array(requirement, { maxLength: 3 });

const selects = (each: Selection, podLabels: Record<string, string>) => matchesSelector(selectorOf(each), podLabels);

describe('subtract', () => {
  it('selects exactly what the first selects and none of the others does', () => {
    fc.assert(
      fc.property(selection, fc.array(selection, { maxLength: 3 }), labels, (from, taken, podLabels) => {
        const rest = subtract(from, taken);
        if (rest === undefined) return;
        const expected = selects(from, podLabels) && !taken.some((each) => selects(each, podLabels));
        assert.equal(
          rest.some((each) => selects(each, podLabels)),
          expected,
        );
      }),
      { numRuns: 3000 },
    );
  });

  it('leaves nothing when a selection that selects everything is taken away', () => {
    assert.deepEqual(subtract(selectionOf({ matchLabels: { app: 'web' } }), [[]]), []);
  });

  it('keeps many policies on one label a single selector', () => {
    const taken = ['a', 'b', 'c', 'd'].map((app) => selectionOf({ matchLabels: { app } }));
    assert.deepEqual(subtract([], taken), [[{ key: 'app', operator: 'NotIn', values: ['a', 'b', 'c', 'd'] }]]);
  });

  it('refuses what needs more than eight selectors', () => {
    const pair = (index: number) => selectionOf({ matchLabels: { [`x${index}`]: '1', [`y${index}`]: '1' } });
    assert.equal(subtract([], [pair(1), pair(2), pair(3), pair(4)]), undefined);
    assert.equal(subtract([], [pair(1), pair(2), pair(3)])?.length, 8);
  });

  it('takes an operator Kubernetes does not have as selecting nothing', () => {
    assert.deepEqual(subtract(selectionOf({ matchExpressions: [{ key: 'a', operator: 'toString' }] }), []), []);
  });
});
