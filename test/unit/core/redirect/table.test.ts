import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { removal, replacement } from '../../../../operator/core/redirect/batch.ts';
import { tableOf } from '../../../../operator/core/redirect/table.ts';
import { plan } from './plans.ts';

const { chains, rules, sets } = tableOf(plan);
const texts = (chain: string): readonly string[] =>
  rules.filter((rule) => rule.chain === chain).map(({ expr }) => JSON.stringify(expr));

describe('table', () => {
  it('has no hook in which the requests of the host itself could be changed', () => {
    const natHooks = chains.filter(({ type }) => type === 'nat').map(({ hook }) => hook);
    assert.deepEqual(natHooks, ['prerouting']);
    for (const text of texts('answer')) assert.match(text, /"sport"},?.*"@ports"/);
  });

  it('translates only port 80 of the metadata addresses, and only to the address of the node', () => {
    const translations = texts('divert').filter((text) => text.includes('dnat'));
    assert.deepEqual(translations, [
      '[{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":"@metadata4"}},' +
        '{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":80}},' +
        '{"dnat":{"family":"ip","addr":"10.0.0.7","port":9880}}]',
      '[{"match":{"op":"==","left":{"payload":{"protocol":"ip6","field":"daddr"}},"right":"@metadata6"}},' +
        '{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":80}},' +
        '{"dnat":{"family":"ip6","addr":"fd00::7","port":9880}}]',
    ]);
  });

  it('guards every port that an instance can have, not only the one it has', () => {
    assert.deepEqual(sets.find(({ name }) => name === 'ports')?.elem, [9880, 9881]);
    assert.match(texts('enter').at(-1) ?? '', /"@ports".*"reject"/);
  });

  it('looks at the source, then at how much it sends, before it translates', () => {
    const looks = { fib: 'source', meter: 'limit', dnat: 'to' } as const;
    const order = texts('divert').map(
      (text) => Object.entries(looks).find(([word]) => text.includes(word))?.[1] ?? '-',
    );
    assert.deepEqual(order, ['-', 'source', 'limit', 'to', 'source', 'limit', 'to']);
  });

  it('drops what a pod sends over its limit, per address and family, and counts it', () => {
    const limits = rules.filter(({ expr }) => JSON.stringify(expr).includes('meter')).map(({ expr }) => expr.slice(2));
    const meter = (family: string, name: string) => ({
      meter: {
        name,
        key: { elem: { val: { payload: { protocol: family, field: 'saddr' } }, timeout: 60 } },
        size: 4_096,
        stmt: { limit: { rate: 100, burst: 32, per: 'second', inv: true } },
      },
    });
    const ending = [{ counter: null }, { drop: null }];
    assert.deepEqual(limits, [
      [meter('ip', 'fresh4'), ...ending],
      [meter('ip6', 'fresh6'), ...ending],
    ]);
  });

  it('never names an interface of a pod network', () => {
    const named = rules.flatMap(
      ({ expr }) => JSON.stringify(expr).match(/"(iif|oif)(name)?"[^]*?"right":"[^"]+"/g) ?? [],
    );
    const names = new Set(named.map((text) => /"right":"([^"]+)"$/.exec(text)?.[1]));
    assert.deepEqual(names, new Set(['lo', 'cilium_host']));
  });

  it('has no translation in a family without an address of the node, but still closes it', () => {
    const single = tableOf({ ...plan, nodeAddresses: { ipv4: '10.0.0.7' } });
    const text = JSON.stringify(single.rules);
    assert.equal(text.includes('"family":"ip6"'), false);
    assert.match(text, /"ip6","field":"daddr"}},"right":"@metadata6"}},[^\]]*"reject"/);
  });

  it('leaves the credentials addresses of AWS alone: they give a pod its own identity', () => {
    assert.equal(JSON.stringify(sets).includes('169.254.170'), false);
  });
});

describe('batch', () => {
  const commands = (text: string): object[] => (JSON.parse(text) as { nftables: object[] }).nftables;

  it('creates a missing table, so that it fails if one has appeared meanwhile', () => {
    const [first, ...rest] = commands(replacement(plan, { kind: 'missing' }));
    assert.deepEqual(first, { create: { table: { family: 'inet', name: 'metaveil' } } });
    assert.equal(rest.length, sets.length + chains.length + rules.length);
  });

  it('replaces and removes exactly the table it has seen', () => {
    const deletion = { delete: { table: { family: 'inet', handle: 42 } } };
    assert.deepEqual(commands(replacement(plan, { kind: 'present', handle: 42 }))[0], deletion);
    assert.deepEqual(commands(removal(42)), [deletion]);
  });

  it('fits into one argument of a program', () => {
    assert.ok(replacement(plan, { kind: 'present', handle: 42 }).length < 16_384);
  });
});
