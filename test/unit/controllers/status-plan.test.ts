import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Condition } from '../../../operator/api/v1/index.ts';
import { nodesOf, planStatus, programmedAspect } from '../../../operator/controllers/status-plan.ts';
import { condition } from '../../builders/objects.ts';
import { nowhere } from '../../fakes/controllers.ts';

interface Status {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  readonly workloads?: number;
}

const ready = (overrides: Partial<Condition> = {}) =>
  condition({ type: 'Ready', status: 'True', reason: 'Ready', ...overrides });
const status = (conditions: readonly Condition[], workloads = 1, observedGeneration = 1): Status => ({
  observedGeneration,
  conditions,
  workloads,
});
const moment = (generation = 1, lastAt?: number) => ({
  generation,
  now: 100_000,
  writes: lastAt === undefined ? undefined : { lastAt, hurried: 0 },
});

describe('the plan of a status', () => {
  it('is empty when nothing changed', () => {
    assert.deepEqual(planStatus(status([ready()]), status([ready()]), moment()), { statuses: [], events: [] });
  });

  it('puts off mere numbers to 10 s after the last write', () => {
    const plan = planStatus(status([ready()], 1), status([ready()], 2), moment(1, 96_000));
    assert.deepEqual(plan, { statuses: [], events: [], requeueAfterMs: 6_000 });
    assert.equal(planStatus(status([ready()], 1), status([ready()], 2), moment(1, 90_000)).statuses.length, 1);
  });

  it('writes a transition at once, with one event when Ready becomes True or False', () => {
    const broken = ready({ status: 'False', reason: 'InvalidPolicy', message: 'x'.repeat(2_000) });
    const plan = planStatus(status([ready()]), status([broken]), moment(1, 99_999));
    assert.equal(plan.statuses.length, 1);
    assert.deepEqual(plan.events, [{ type: 'Warning', reason: 'InvalidPolicy', message: 'x'.repeat(1024) }]);
    const pending = ready({ status: 'Unknown', reason: 'NodesPending' });
    assert.deepEqual(planStatus(status([ready()]), status([pending]), moment()).events, []);
    const back = planStatus(status([broken]), status([ready()]), moment());
    assert.deepEqual(
      back.events.map(({ type, reason }) => `${type} ${reason}`),
      ['Normal Ready'],
    );
  });

  it("takes back the last generation's Ready before anything else, keeping the other aspects", () => {
    const accepted = condition({ type: 'Accepted', status: 'True', reason: 'Accepted' });
    const next = status([ready({ observedGeneration: 2 }), accepted], 1, 2);
    const [first, second, ...more] = planStatus(status([ready(), accepted]), next, moment(2)).statuses;
    assert.deepEqual(
      first?.conditions.map((each) => `${each.type} ${each.status}`),
      ['Ready Unknown', 'Accepted True', 'Reconciling True'],
    );
    assert.equal(first.observedGeneration, 2);
    assert.deepEqual(second, next);
    assert.deepEqual(more, []);
  });

  it('announces nothing for a first status', () => {
    assert.equal(planStatus<Status>(undefined, status([ready()]), moment()).statuses.length, 1);
  });
});

describe('Programmed', () => {
  const rows = [
    { state: {}, outcome: 'True NoWorkloads' },
    { state: { desired: 2, programmed: 2 }, outcome: 'True Programmed' },
    { state: { desired: 2, programmed: 1 }, outcome: 'Unknown NodesPending' },
    { state: { desired: 2, programmed: 1, disconnected: ['b'] }, outcome: 'True Programmed' },
    { state: { desired: 2, programmed: 2, rejected: [{ node: 'a', reason: 'no' }] }, outcome: 'False NodesRejected' },
  ] as const;
  for (const { state, outcome } of rows) {
    it(`is ${outcome} with ${JSON.stringify(state)}`, () => {
      const { status: value, reason } = programmedAspect({ ...nowhere, ...state }, 'unused');
      assert.equal(`${value} ${reason}`, outcome);
    });
  }

  it('has a text that does not count along', () => {
    const text = (programmed: number) => programmedAspect({ ...nowhere, desired: 9, programmed }, 'unused').message;
    assert.equal(text(1), text(8));
    assert.deepEqual(nodesOf(9, 8), { desired: 9, programmed: 8, summary: '8/9' });
  });

  it('names at most five refusals', () => {
    const rejected = Array.from({ length: 9 }, (_, at) => ({ node: `n${at}`, reason: 'no' }));
    assert.match(programmedAspect({ ...nowhere, desired: 9, rejected }, 'unused').message, /n4 \(no\) and 4 more\.$/);
  });
});
