/** T20: what tenants name their things, and what they send, is shown as text: one line, bounded, without tricks. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { Workload } from '../../operator/core/snapshot/types.ts';
import { maxFieldLength, presentable } from '../../operator/telemetry/redact.ts';
import { settle } from '../fakes/timers.ts';
import { nodeSettings, workload } from '../unit/proxy/support.ts';
import { pods, Stage, token, v1 } from './harness.ts';
import { get, hostLine } from './requests.ts';

const hostile: Readonly<Record<string, string>> = {
  'terminal escapes': '\u001b[2J\u001b]0;owned\u0007',
  'a line of its own': 'x\n{"level":"info","event":"token-issued"}\r\n',
  'text that turns around': '\u202egnp.exe\u2066\u200f',
  'other line breaks': 'a\u2028b\u2029c\u0085d',
  'C1 controls': '\u009b31m',
  'half a character': '\ud800',
  'a megabyte': 'x'.repeat(1 << 20),
  __proto__: '__proto__',
  constructor: 'constructor',
  'a credential': 'ya29.canary-of-a-token eyJhbGciOiJub25lIn0.canary.sig',
};

/** Everything that makes a terminal, or a reader of lines, show or do something else. */
// eslint-disable-next-line no-control-regex -- finding control characters is the purpose
const tricks = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u;

let stage: Stage;
afterEach(async () => {
  await settle();
  stage.observe();
  await stage.stop();
});

/** Each line is one JSON object of known size whose strings are printable. */
function assertPresentable(lines: readonly string[]): void {
  assert.ok(lines.length > 0);
  for (const line of lines) {
    assert.equal(line.indexOf('\n'), line.length - 1);
    const fields = JSON.parse(line) as Record<string, unknown>;
    assert.equal(Object.getPrototypeOf(fields), Object.prototype);
    for (const value of Object.values(fields)) {
      if (typeof value !== 'string') continue;
      assert.doesNotMatch(value, tricks);
      assert.ok(value.isWellFormed());
      assert.ok(value.length <= maxFieldLength + 1);
      assert.ok(!value.includes('canary'), value);
    }
  }
}

describe('T20: names of objects', () => {
  for (const [what, name] of Object.entries(hostile)) {
    it(`${what} in the names of a pod, its namespace, its ServiceAccount and its binding`, async () => {
      const pod: Workload = { ...workload('p', pods.bound, undefined), name, namespace: name };
      const named = { ...pod, serviceAccount: { ...pod.serviceAccount, name } };
      stage = await Stage.start({ workloads: [named] });
      stage.node.lines.length = 0;
      const answer = await stage.node.get(token, {
        from: pods.bound,
        headers: { Host: 'metadata.google.internal', 'Metadata-Flavor': 'Google' },
      });
      assert.deepEqual([answer.status, answer.headers['x-metaveil-code']], [404, 'no-service-account']);
      assertPresentable(stage.node.lines);
    });
  }

  it('attributes named like properties of objects are data', async () => {
    const { emulated } = nodeSettings();
    const attributes = JSON.parse('{"__proto__":"p","constructor":"c","toString":"t"}') as Record<string, string>;
    stage = await Stage.start({ settings: { platform: 'None', emulated: { ...emulated, attributes } } });
    const from = pods.privileged;
    for (const [name, value] of [
      ['__proto__', 'p'],
      ['constructor', 'c'],
      ['toString', 't'],
    ] as const) {
      const { replies } = await stage.send(get(`${v1}/instance/attributes/${name}`), { from });
      assert.deepEqual([replies[0]?.status, replies[0]?.body], [200, value]);
    }
    const { replies } = await stage.send(get(`${v1}/instance/attributes/valueOf`), { from });
    assert.equal(replies[0]?.status, 404);
    assert.equal(({} as Record<string, unknown>)['p'], undefined);
  });
});

describe('T20: what a pod sends', () => {
  const paths = [
    ['terminal escapes', '/computeMetadata/v1/\u001b[2J'],
    ['encoded terminal escapes', '/computeMetadata/v1/%1b%5b2J'],
    ['encoded line breaks', '/computeMetadata/v1/%0d%0a%7b%22event%22%3a1%7d'],
    ['encoded turns of direction', '/computeMetadata/v1/%e2%80%ae'],
    ['bytes that are no UTF-8', '/computeMetadata/v1/\u00ff\u00fe\u009b31m'],
    ['a credential', '/computeMetadata/v1/ya29.canary-of-a-token/eyJhbGciOiJub25lIn0.canary.sig'],
    ['8 KiB', `/computeMetadata/v1/${'x'.repeat(8_000)}`],
    ['__proto__', '/computeMetadata/v1/__proto__/__proto__'],
    ['a scope of control characters', `${token}?scopes=%1b%5b2J%0a`],
    ['an audience of control characters', `${token.replace(/token$/u, 'identity')}?audience=%1b%5b2J%0a`],
  ] as const;
  for (const [what, target] of paths) {
    it(`${what} in a path or query is refused, and shown as text`, async () => {
      stage = await Stage.start({ settings: { platform: 'None' } });
      const before = stage.node.lines.length;
      const { replies, upstream, tokens } = await stage.send(get(target));
      const [reply] = replies;
      assert.ok(reply !== undefined && reply.status >= 400, String(reply?.status));
      assert.ok(reply.headers.has('x-metaveil-code'));
      assert.doesNotMatch(reply.body.replaceAll('\n', ''), tricks);
      assert.deepEqual([upstream, tokens], [[], []]);
      const lines = stage.node.lines.slice(before);
      assert.equal(lines.length, 1);
      assertPresentable(lines);
    });
  }

  it('a method or header of control characters is refused, and shown as text', async () => {
    stage = await Stage.start();
    for (const bytes of [
      `\u001b[2J / HTTP/1.1\r\n${hostLine}\r\n\r\n`,
      get(v1, 'X-\u001b: a'),
      get(v1, 'X-A: \u001b[2J\u0000'),
    ]) {
      const before = stage.node.lines.length;
      const { upstream } = await stage.send(bytes);
      assert.deepEqual(upstream, []);
      assertPresentable(stage.node.lines.slice(before));
    }
  });
});

describe('T20: text for terminals, status and events', () => {
  for (const [what, text] of Object.entries(hostile)) {
    it(`${what} is shown as text`, async () => {
      stage = await Stage.start();
      const shown = presentable(`name ${text} end`);
      assert.doesNotMatch(shown, tricks);
      assert.ok(shown.isWellFormed() && shown.length <= maxFieldLength + 1);
      assert.ok(!shown.includes('canary'));
    });
  }
});
