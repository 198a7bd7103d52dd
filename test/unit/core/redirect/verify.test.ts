import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { maxListingLength, readListing, type ListedTable } from '../../../../operator/core/redirect/listing.ts';
import { markerText } from '../../../../operator/core/redirect/marker.ts';
import type { RedirectPlan } from '../../../../operator/core/redirect/plan.ts';
import { nextStep, removalStep, verify } from '../../../../operator/core/redirect/verify.ts';
import { listedObjects, listingOf, plan, type ListedObject } from './plans.ts';

const older: RedirectPlan = { ...plan, instance: { startedAt: 900, id: 'ffffffff' }, port: 9881 };
const younger: RedirectPlan = { ...plan, instance: { startedAt: 1100, id: '00000000' }, port: 9881 };

function table(objects: readonly object[]): ListedTable {
  const listing = readListing(listingOf(objects));
  assert.ok(listing.kind === 'table');
  return listing.table;
}

const listed = (of: RedirectPlan): ListedTable => table(listedObjects(of));

/** Applies `change` to the object of that kind and name (or of that chain). */
function changed(kind: string, name: string, change: (body: Record<string, unknown>) => void): ListedObject[] {
  const objects = structuredClone(listedObjects(plan));
  const found = objects.find(({ [kind]: body }) => body !== undefined && (body['name'] ?? body['chain']) === name);
  assert.ok(found?.[kind], `${kind} ${name}`);
  change(found[kind]);
  return objects;
}

describe('verify', () => {
  it('finds a table in place whatever handles it has and in whatever order nft lists sets and chains', () => {
    const objects = listedObjects(plan, 4711);
    assert.equal(verify(table(objects), plan).kind, 'in-place');
    const [info, head, ...rest] = objects;
    const isRule = (object: object): boolean => 'rule' in object;
    const reordered = [info, head, ...rest.filter((o) => !isRule(o)).reverse(), ...rest.filter(isRule)];
    assert.equal(verify(table(reordered as object[]), plan).kind, 'in-place');
  });

  it('finds a table in place whatever its counters have counted, and adds that up', () => {
    const counting = table(listedObjects(plan, 7, 21));
    assert.equal(verify(counting, plan).kind, 'in-place');
    assert.equal(counting.counted, 42);
    assert.equal(listed(plan).counted, 0);
  });

  it("takes the order of a set's elements as of no meaning", () => {
    const objects = changed('set', 'metadata6', (set) => (set['elem'] as unknown[]).reverse());
    assert.equal(verify(table(objects), plan).kind, 'in-place');
  });

  const drifts: Readonly<Record<string, ListedObject[]>> = {
    'a rule is gone': listedObjects(plan).filter((_, index, all) => index !== all.length - 1),
    'the chains are empty': listedObjects(plan).filter((object) => !('rule' in object)),
    'rules of a chain have changed places': listedObjects(plan).map((object, index, all) => {
      const first = all.findIndex(({ rule }) => rule?.['chain'] === 'enter');
      return (index === first ? all[first + 1] : index === first + 1 ? all[first] : object) ?? object;
    }),
    'a set has lost an element': changed('set', 'metadata4', (set) => (set['elem'] = [])),
    'a set has got a time-out': changed('set', 'metadata4', (set) => (set['timeout'] = 5)),
    'a chain has another priority': changed('chain', 'divert', (chain) => (chain['prio'] = 100)),
    'a chain drops by default': changed('chain', 'enter', (chain) => (chain['policy'] = 'drop')),
    'a chain was added': [
      ...listedObjects(plan),
      { chain: { family: 'inet', table: 'metaveil', name: 'x', handle: 9 } },
    ],
    'an object of another kind was added': [...listedObjects(plan), { map: { name: 'x' } }],
    'a rule has a comment': changed('rule', 'divert', (rule) => (rule['comment'] = 'x')),
    'a limit is gone': listedObjects(plan).filter((object) => !JSON.stringify(object).includes('fresh4')),
    'a limit is wider': JSON.parse(
      JSON.stringify(listedObjects(plan)).replace('"rate":100', '"rate":1000'),
    ) as ListedObject[],
    'a counter stands in the place of a rule': changed(
      'rule',
      'divert',
      (rule) => (rule['expr'] = [{ counter: null }]),
    ),
    'the target is another port': changed('rule', 'divert', (rule) => (rule['expr'] = [])),
  };
  for (const [what, objects] of Object.entries(drifts)) {
    it(`finds drift when ${what}`, () => {
      assert.deepEqual(verify(table(objects), plan), { kind: 'drifted', handle: 7 });
    });
  }

  it('finds drift when the own table leads to another port or is in another phase', () => {
    assert.equal(verify(listed({ ...plan, port: 9881 }), plan).kind, 'drifted');
    assert.equal(verify(listed({ ...plan, phase: 'draining' }), plan).kind, 'drifted');
  });

  it('tells missing, other instances and other owners apart', () => {
    assert.deepEqual(verify(undefined, plan), { kind: 'missing' });
    assert.equal(verify(listed(younger), plan).kind, 'other-instance');
    assert.equal(verify(listed({ ...plan, owner: 'example.com' }), plan).kind, 'foreign-owner');
  });

  it("takes a table without a marker of ours for somebody else's, whatever else is in it", () => {
    const comments = ['', 'metaveil.dev', `${markerText(plan)} `, `owner=metaveil.dev instance=1 phase=serving port=1`];
    for (const comment of comments) {
      const objects = changed('set', 'owner', (set) => (set['elem'] = [{ elem: { val: 1, comment } }]));
      assert.equal(verify(table(objects), plan).kind, 'foreign-owner', comment);
    }
    const two = changed('set', 'owner', (set) => (set['elem'] as unknown[]).push({ elem: { val: 2, comment: '' } }));
    assert.equal(verify(table(two), plan).kind, 'foreign-owner');
  });
});

describe('listing', () => {
  it('is unreadable rather than an error, whatever nft prints', () => {
    const one = { table: { family: 'inet', name: 'metaveil', handle: 1 } };
    const texts = ['', '[]', '{}', '{"nftables":{}}', '{"nftables":[1]}', '{"nftables":[]}', listingOf([one, one])];
    texts.push(listingOf([{ table: { handle: 'one' } }]), ' '.repeat(maxListingLength + 1));
    texts.push(`{"nftables":[{"table":{"handle":1}},{"x":${'['.repeat(60_000)}${']'.repeat(60_000)}}]}`);
    for (const text of texts) assert.equal(readListing(text).kind, 'unreadable', text.slice(0, 40));
  });

  it('never throws on any JSON, and never finds our table in it', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (objects) => {
        const listing = readListing(JSON.stringify({ nftables: [...listedObjects(plan).slice(0, 2), ...objects] }));
        assert.notEqual(listing.kind === 'table' ? verify(listing.table, plan).kind : 'unreadable', 'in-place');
      }),
    );
  });
});

describe('who has the table', () => {
  const step = (other: RedirectPlan, self = plan, isDead = false): string =>
    nextStep(verify(listed(other), self), self, isDead).kind;

  it('is the newest that serves', () => {
    assert.equal(step(older), 'replace');
    assert.equal(step(younger), 'stand-by');
    assert.equal(step({ ...plan, instance: { ...plan.instance, id: '0a1b2c3c' } }), 'replace');
    assert.equal(step({ ...plan, instance: { ...plan.instance, id: '0a1b2c3e' } }), 'stand-by');
  });

  it('is an older one when the newer drains or is dead', () => {
    assert.equal(step({ ...younger, phase: 'draining' }), 'replace');
    assert.equal(step(younger, plan, true), 'replace');
  });

  it('is never one that drains itself', () => {
    const draining: RedirectPlan = { ...plan, phase: 'draining' };
    for (const other of [older, younger, { ...younger, phase: 'draining' as const }]) {
      assert.equal(step(other, draining, true), 'stand-by');
    }
  });

  it('is never taken from another owner', () => {
    assert.equal(step({ ...older, owner: 'example.com' }, plan, true), 'refuse');
  });

  it('always converges: of any two that serve exactly one stands by', () => {
    const instance = fc.record({
      startedAt: fc.nat(3),
      id: fc.constantFrom('00000000', '0a1b2c3d', 'ffffffff'),
    });
    fc.assert(
      fc.property(instance, instance, (a, b) => {
        fc.pre(a.startedAt !== b.startedAt || a.id !== b.id);
        const [one, other] = [a, b].map((each) => ({ ...plan, instance: each })) as [RedirectPlan, RedirectPlan];
        assert.deepEqual([step(one, other), step(other, one)].sort(), ['replace', 'stand-by']);
      }),
    );
  });
});

describe('removal', () => {
  it('takes the own table and what older instances left, and nothing else', () => {
    const kind = (of: RedirectPlan): object => removalStep(listed(of), plan.owner, plan.instance);
    assert.deepEqual(removalStep(undefined, plan.owner, plan.instance), { kind: 'none' });
    assert.deepEqual(kind(plan), { kind: 'remove', handle: 7 });
    assert.deepEqual(kind(older), { kind: 'remove', handle: 7 });
    assert.deepEqual(kind(younger), { kind: 'leave', reason: 'newer-instance' });
    assert.deepEqual(kind({ ...older, owner: 'example.com' }), { kind: 'leave', reason: 'foreign-owner' });
  });
});
