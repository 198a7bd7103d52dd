import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { PrometheusMetrics } from '../../../operator/adapters/prometheus/metrics.ts';
import { readConfiguration } from '../../../operator/cmd/controller-configuration.ts';
import { serveMetrics } from '../../../operator/cmd/metrics.ts';
import type { Exposition } from '../../../operator/cmd/metrics.ts';
import { metrics as definitions } from '../../../operator/telemetry/metrics.ts';
import { FakeTimers } from '../../fakes/timers.ts';
import { until } from '../nodeapi/world.ts';

async function serving(t: TestContext, source: Exposition) {
  const timers = new FakeTimers();
  const server = await serveMetrics({ host: '127.0.0.1', port: 0 }, source, timers);
  t.after(() => {
    server.closeAllConnections();
    server.close();
    return once(server, 'close');
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { timers, get: (path = '/metrics', method = 'GET') => fetch(url + path, { method }) };
}

function counted() {
  const made: PromiseWithResolvers<string>[] = [];
  const exposition = () => {
    const text = Promise.withResolvers<string>();
    made.push(text);
    return text.promise;
  };
  return { made, source: { contentType: 'text/plain', exposition } };
}

describe('the metrics port', () => {
  it('serves every metric of the table in the format that Prometheus reads, and nothing else', async (t) => {
    const metrics = new PrometheusMetrics();
    const { get } = await serving(t, metrics);
    metrics.set('metaveil_leader', {}, 1);
    const reply = await get();
    assert.equal(reply.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    const text = await reply.text();
    for (const [name, { type, help }] of Object.entries(definitions)) {
      assert.ok(text.includes(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`), name);
      assert.match(name, type === 'counter' ? /^metaveil_[a-z_]+_total$/u : /^metaveil_[a-z_]+$/u);
    }
    assert.match(text, /^metaveil_leader 1$/mu);
    for (const [path, method] of [
      ['/', 'GET'],
      ['/metrics/', 'GET'],
      ['/metrics?name[]=x', 'GET'],
      ['/debug/pprof', 'GET'],
      ['/metrics', 'POST'],
    ] as const)
      assert.equal((await get(path, method)).status, 404, `${method} ${path}`);
  });

  it('makes one text for all who ask at once or within 2 s: a flood of scrapes costs nothing', async (t) => {
    const { made, source } = counted();
    const { get, timers } = await serving(t, source);
    const asked = Array.from({ length: 30 }, () => get());
    await until('asked', () => made.length > 0);
    made[0]?.resolve('one 1\n');
    for (const reply of await Promise.all(asked)) assert.equal(await reply.text(), 'one 1\n');
    await (await get()).text();
    assert.equal(made.length, 1);
    timers.jump(2_000);
    const next = get();
    await until('asked again', () => made.length > 1);
    made[1]?.resolve('one 2\n');
    assert.equal(await (await next).text(), 'one 2\n');
  });

  it('says 500 and no more when a text cannot be made', async (t) => {
    const { made, source } = counted();
    const { get } = await serving(t, source);
    const reply = get();
    await until('asked', () => made.length > 0);
    made[0]?.reject(new Error('canary'));
    assert.deepEqual([(await reply).status, await (await reply).text()], [500, '']);
  });

  it('is 8080 on all addresses by default, another one, or off', () => {
    const port = (...argv: string[]) => readConfiguration(argv, {}).metricsListen;
    assert.deepEqual(port(), { host: '::', port: 8080 });
    assert.deepEqual(port('--metrics-listen', '127.0.0.1:9090'), { host: '127.0.0.1', port: 9090 });
    assert.equal(port('--metrics-listen', '0'), undefined);
    assert.throws(() => port('--metrics-listen', 'x'), { code: 'invalid-configuration' });
  });
});

describe('label values', () => {
  it('of hostile names stay one value on one line, and take no credential along', async () => {
    const metrics = new PrometheusMetrics();
    const names = [
      'a"} 1\nforged_total{x="',
      'back\\slash',
      '\u001b[31m',
      '\u202egnp',
      'ya29.canary-token',
      'e'.repeat(4096),
    ];
    for (const policy of names)
      metrics.add('metaveil_decisions_total', { kind: 'k', namespace: 'n', policy, decision: 'legacy' });
    const text = await metrics.exposition();
    const lines = text.split('\n').filter((line) => /^metaveil_decisions|forged/u.test(line));
    assert.equal(lines.length, names.length);
    for (const line of lines) {
      assert.match(
        line,
        /^metaveil_decisions_total\{kind="k",namespace="n",policy="(?:[^"\\]|\\\\|\\"|\\n)*",decision="legacy"\} 1$/u,
      );
      assert.ok(line.length < 700);
    }
    // eslint-disable-next-line no-control-regex -- finding control characters is the purpose
    assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u202e]|canary/u);
  });
});
