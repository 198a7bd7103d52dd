import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pendingStatus } from '../../../operator/api/v1/conditions.ts';
import { announced, conditionsOf, listed, readyFrom } from '../../../operator/controllers/conditions.ts';
import type { Aspect } from '../../../operator/controllers/conditions.ts';
import { condition } from '../../builders/objects.ts';

const now = Date.parse('2026-06-01T12:00:00.789Z');
const aspect = (type: string, status: Aspect['status'], reason: Aspect['reason'] = 'Ready'): Aspect => ({
  type,
  status,
  reason,
  message: `${type} is ${status}.`,
});
const write = (ready: Aspect, previous?: Parameters<typeof conditionsOf>[2]['previous']) =>
  conditionsOf(ready, [aspect('Accepted', 'True', 'Accepted')], { previous, generation: 4, now });
const types = (conditions: readonly { readonly type: string }[]) => conditions.map(({ type }) => type);

describe('conditionsOf', () => {
  it('puts Ready first and stamps generation and whole seconds', () => {
    assert.deepEqual(write(aspect('Ready', 'True'))[0], {
      type: 'Ready',
      status: 'True',
      reason: 'Ready',
      message: 'Ready is True.',
      lastTransitionTime: '2026-06-01T12:00:00Z',
      observedGeneration: 4,
    });
  });

  it('says Stalled with a final Ready, Reconciling with one on its way, neither when done', () => {
    assert.deepEqual(types(write(aspect('Ready', 'True'))), ['Ready', 'Accepted']);
    assert.deepEqual(types(write(aspect('Ready', 'False', 'Suspended'))), ['Ready', 'Accepted', 'Stalled']);
    assert.deepEqual(types(write(aspect('Ready', 'Unknown', 'Pending'))), ['Ready', 'Accepted', 'Reconciling']);
  });

  it('moves a time only when the status changes', () => {
    const previous = [
      condition({ type: 'Ready', status: 'True', reason: 'NoWorkloads', message: 'Other words.' }),
      condition({ type: 'Accepted', status: 'False', reason: 'ProviderNotFound' }),
    ];
    const [ready, accepted] = write(aspect('Ready', 'True'), previous);
    assert.equal(ready?.lastTransitionTime, previous[0]?.lastTransitionTime);
    assert.equal(accepted?.lastTransitionTime, '2026-06-01T12:00:00Z');
  });

  it("takes no time over from the schema's placeholder: nothing has been pending since 1970", () => {
    const [ready] = write(aspect('Ready', 'Unknown', 'NodesPending'), [...pendingStatus.conditions]);
    assert.equal(ready?.lastTransitionTime, '2026-06-01T12:00:00Z');
  });
});

describe('readyFrom', () => {
  const rows: readonly (readonly [sentence: string, parts: readonly Aspect[], outcome: string])[] = [
    ['all True is Ready', [aspect('A', 'True'), aspect('B', 'True')], 'True Ready'],
    [
      'the first False decides, before any Unknown',
      [aspect('A', 'Unknown', 'NodesPending'), aspect('B', 'False', 'PermissionDenied'), aspect('C', 'False')],
      'False PermissionDenied',
    ],
    [
      'the first Unknown decides otherwise',
      [aspect('A', 'True'), aspect('B', 'Unknown', 'Pending')],
      'Unknown Pending',
    ],
  ];
  for (const [sentence, parts, outcome] of rows) {
    it(sentence, () => {
      const { type, status, reason } = readyFrom(parts);
      assert.deepEqual([type, `${status} ${reason}`], ['Ready', outcome]);
    });
  }

  it('lets a part be content with Unknown', () => {
    const parts = [aspect('A', 'Unknown', 'Managed')];
    assert.equal(readyFrom(parts, ({ reason }) => reason === 'Managed').status, 'True');
  });
});

describe('announced', () => {
  const done = [
    condition({ type: 'Ready', status: 'True', reason: 'Ready', observedGeneration: 3 }),
    condition({ type: 'Accepted', status: 'True', reason: 'Accepted', observedGeneration: 3 }),
  ];

  it('takes Ready back on a new generation and leaves the parts', () => {
    const conditions = announced({ previous: done, generation: 4, now });
    assert.deepEqual(
      conditions?.map(({ type, status, observedGeneration }) => [type, status, observedGeneration]),
      [
        ['Ready', 'Unknown', 4],
        ['Accepted', 'True', 3],
        ['Reconciling', 'True', 4],
      ],
    );
  });

  it('is not needed for the same generation, a fresh object or one whose Ready is Unknown already', () => {
    assert.equal(announced({ previous: done, generation: 3, now }), undefined);
    assert.equal(announced({ previous: undefined, generation: 1, now }), undefined);
    const unknown = [condition({ type: 'Ready', status: 'Unknown', reason: 'Pending', observedGeneration: 3 })];
    assert.equal(announced({ previous: unknown, generation: 4, now }), undefined);
  });
});

describe('listed', () => {
  it('sorts, and bounds what is shown', () => {
    assert.equal(listed(['b', 'a']), 'a, b');
    assert.equal(listed(['c', 'b', 'a', 'd'], 2), 'a, b and 2 more');
  });
});
