import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { AppliedObject } from '../../../../operator/controllers/ports.ts';
import { planRollout } from '../../../../operator/controllers/proxies/rollout.ts';
import type { ExistingDeployment } from '../../../../operator/controllers/proxies/rollout.ts';
import { templateHashAnnotation } from '../../../../operator/controllers/proxies/workloads.ts';

function wanted(name: string, templateHash: string): AppliedObject {
  const metadata = { name, annotations: { [templateHashAnnotation]: templateHash } };
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata };
}

const names = ({ apply }: ReturnType<typeof planRollout>) => apply.map(({ metadata }) => metadata.name);

describe('a rollout', () => {
  const settled = (name: string): ExistingDeployment => ({ name, templateHash: 'old', state: 'settled' });
  const new3 = ['a', 'b', 'c'].map((name) => wanted(name, 'new'));

  it('updates as many nodes as allowed, and says which wait', () => {
    const existing = ['c', 'b', 'a'].map(settled);
    const rollout = planRollout(new3, existing, '2');
    assert.deepEqual(names(rollout), ['a', 'b']);
    assert.deepEqual(rollout.waiting, ['c']);
  });

  it('reads a percentage of all nodes, rounded up', () => {
    const existing = ['a', 'b', 'c'].map(settled);
    assert.equal(names(planRollout(new3, existing, '1%')).length, 1);
    assert.equal(names(planRollout(new3, existing, '34%')).length, 2);
    assert.equal(names(planRollout(new3, existing, '100%')).length, 3);
  });

  it('stops behind a node that does not come up with the new template', () => {
    const stuck: ExistingDeployment = { name: 'a', templateHash: 'new', state: 'unsettled' };
    const rollout = planRollout(new3, [stuck, settled('b'), settled('c')], '1');
    assert.deepEqual(rollout.waiting, ['b', 'c']);
    assert.deepEqual(names(rollout), ['a']);
  });

  it('does not stop behind a node that is away, nor behind a Deployment that is not wanted any more', () => {
    const away: ExistingDeployment = { name: 'a', templateHash: 'new', state: 'node-away' };
    const released: ExistingDeployment = { name: 'z', templateHash: 'old', state: 'unsettled' };
    assert.deepEqual(names(planRollout(new3, [away, released, settled('b'), settled('c')], '1')), ['a', 'b']);
  });
});

interface SimulatedNode {
  readonly name: string;
  /** Away for good, or up. */
  readonly away: boolean;
  deployed: { templateHash: string; serving: boolean; updatedWhileServing: boolean } | undefined;
}

const simulation = fc.record({
  nodes: fc.array(
    fc.record({
      away: fc.boolean(),
      state: fc.constantFrom('new' as const, 'old-serving' as const, 'old-broken' as const, 'current' as const),
    }),
    { minLength: 1, maxLength: 30 },
  ),
  maxUnavailable: fc.oneof(
    fc.integer({ min: 1, max: 12 }).map(String),
    fc.integer({ min: 1, max: 100 }).map((percent) => `${percent}%`),
  ),
  /** Which of the unsettled ones settle in each round: at least one does. */
  rounds: fc.array(fc.array(fc.nat(29), { maxLength: 5 }), { minLength: 40, maxLength: 40 }),
});

type Simulation = typeof simulation extends fc.Arbitrary<infer T> ? T : never;

function nodesOf({ nodes }: Simulation): SimulatedNode[] {
  const deployed = (state: Simulation['nodes'][number]['state']) => ({
    templateHash: state === 'current' ? 'new' : 'old',
    serving: state !== 'old-broken',
    updatedWhileServing: false,
  });
  return nodes.map(({ away, state }, at) => ({
    name: `node-${at}`,
    away,
    deployed: state === 'new' ? undefined : deployed(state),
  }));
}

function existingOf(nodes: readonly SimulatedNode[]): ExistingDeployment[] {
  return nodes.flatMap(({ name, away, deployed }): ExistingDeployment[] => {
    if (deployed === undefined) return [];
    const state = away ? 'node-away' : deployed.serving ? 'settled' : 'unsettled';
    return [{ name, templateHash: deployed.templateHash, state }];
  });
}

function apply(nodes: readonly SimulatedNode[], applied: readonly string[]): void {
  for (const each of nodes.filter(({ name }) => applied.includes(name))) {
    if (each.deployed?.templateHash === 'new') continue;
    const updatedWhileServing = !each.away && each.deployed?.serving === true;
    each.deployed = { templateHash: 'new', serving: false, updatedWhileServing };
  }
}

function settleSome(nodes: readonly SimulatedNode[], choice: readonly number[]): void {
  const unsettled = nodes.flatMap(({ away, deployed }) =>
    away || deployed === undefined || deployed.serving || deployed.templateHash === 'old' ? [] : [deployed],
  );
  for (const [at, each] of unsettled.entries()) {
    if (at > 0 && !choice.includes(at)) continue;
    each.serving = true;
    each.updatedWhileServing = false;
  }
}

describe('any rollout', () => {
  it('never takes more serving nodes than allowed, serves new nodes at once, and comes to an end', () => {
    fc.assert(
      fc.property(simulation, (given) => {
        const nodes = nodesOf(given);
        const desired = nodes.map(({ name }) => wanted(name, 'new'));
        const percent = given.maxUnavailable.endsWith('%');
        const number = Number.parseInt(given.maxUnavailable, 10);
        const allowed = percent ? Math.max(1, Math.ceil((number * nodes.length) / 100)) : number;
        for (const choice of given.rounds) {
          const fresh = nodes.filter(({ deployed }) => deployed === undefined).map(({ name }) => name);
          const applied = names(planRollout(desired, existingOf(nodes), given.maxUnavailable));
          assert.ok(fresh.every((name) => applied.includes(name)));
          apply(nodes, applied);
          const updating = nodes.filter(({ deployed }) => deployed?.updatedWhileServing === true).length;
          assert.ok(updating <= allowed, `${updating} of ${allowed}`);
          settleSome(nodes, choice);
        }
        assert.ok(nodes.every(({ deployed }) => deployed?.templateHash === 'new'));
      }),
      { numRuns: 300 },
    );
  });
});
