import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { proxyPorts, redirectedAddresses, tableOwner } from '../../../operator/core/names.ts';
import type { InterceptMessage } from '../../../operator/core/redirect/messages.ts';
import { Interceptor } from '../../../operator/intercept/interceptor.ts';
import type { ToolFailure } from '../../../operator/intercept/ports.ts';
import { createLogger } from '../../../operator/telemetry/log.ts';
import { sha256 } from '../../../operator/cmd/system.ts';
import { FakeTimers } from '../../fakes/timers.ts';
import { FakeKernel } from './support.ts';

const older = { startedAt: 1, id: '00000000' };
const younger = { startedAt: 2, id: '00000000' };

class Bench {
  readonly kernel = new FakeKernel();
  readonly timers = new FakeTimers();
  readonly events: string[] = [];
  /** Ports on which something accepts connections. */
  readonly alive = new Set<number>(proxyPorts);

  interceptor(): { interceptor: Interceptor; reports: InterceptMessage[]; kinds: () => string[] } {
    const reports: InterceptMessage[] = [];
    const write = (line: string): void => {
      const { event, reason = '', count } = JSON.parse(line) as { event: string; reason?: string; count?: number };
      this.events.push(`${event} ${event === 'connections-limited' ? count : reason}`.trim());
    };
    const interceptor = new Interceptor({
      settings: {
        owner: tableOwner,
        nodeAddresses: { ipv4: '10.0.0.7' },
        metadata: redirectedAddresses,
        ports: proxyPorts,
      },
      kernel: this.kernel,
      probe: async (port) => Promise.resolve(this.alive.has(port)),
      timers: this.timers,
      hash: sha256,
      logger: createLogger({ component: 'intercept', destination: { write } }),
      report: (message) => reports.push(message),
    });
    return { interceptor, reports, kinds: () => reports.map(({ kind }) => kind) };
  }

  async serving(instance = older, port = 9880): Promise<ReturnType<Bench['interceptor']>> {
    const made = this.interceptor();
    await made.interceptor.receive({ kind: 'instance', instance });
    await made.interceptor.receive({ kind: 'serving', port });
    return made;
  }
}

const failure = (code: ToolFailure['code']): ToolFailure => ({ kind: 'failed', code, reason: 'because' });

describe('interceptor', () => {
  it('does nothing before the proxy says that it serves', async () => {
    const bench = new Bench();
    const { interceptor, reports } = bench.interceptor();
    await interceptor.receive({ kind: 'serving', port: 9880 });
    await interceptor.receive({ kind: 'instance', instance: older });
    await interceptor.receive({ kind: 'draining' });
    await bench.timers.advance(60_000);
    assert.deepEqual([bench.kernel.loads, bench.kernel.objects, reports], [0, undefined, []]);
  });

  it('applies, cuts older flows and reports once, with the hash of what is in the kernel', async () => {
    const bench = new Bench();
    const { reports } = await bench.serving();
    await bench.timers.advance(10_000);
    assert.equal(bench.kernel.loads, 1);
    assert.deepEqual(bench.kernel.cuts, [redirectedAddresses]);
    assert.equal(reports.length, 1);
    assert.match(JSON.stringify(reports), /"applied","hash":"[0-9a-f]{64}"/);
    assert.deepEqual(bench.events, ['flows-cut', 'rules-applied missing']);
  });

  it('repairs within a second, again and again, and says so', async () => {
    const bench = new Bench();
    const { kinds } = await bench.serving();
    const { text } = bench.kernel;
    const changes = [
      () => (bench.kernel.objects = undefined),
      () => bench.kernel.objects?.pop(),
      () => bench.kernel.objects?.push({ chain: { name: 'x' } }),
    ];
    for (const change of changes) {
      change();
      await bench.timers.advance(900);
      assert.equal(bench.kernel.text, text);
    }
    const repairs = bench.events.filter((event) => event.startsWith('rules-repaired'));
    assert.deepEqual(repairs, ['rules-repaired missing', 'rules-repaired drifted', 'rules-repaired drifted']);
    assert.deepEqual(kinds(), ['applied']);
  });

  it('says once a minute how much was dropped of pods that open too many connections, across repairs', async () => {
    const bench = new Bench();
    await bench.serving();
    const limited = () => bench.events.filter((event) => event.startsWith('connections-limited'));
    bench.kernel.packets = 5;
    await bench.timers.advance(1_000);
    assert.deepEqual(limited(), ['connections-limited 5']);
    bench.kernel.packets = 7;
    await bench.timers.advance(30_000);
    bench.kernel.objects?.pop();
    await bench.timers.advance(1_000);
    bench.kernel.packets = 3;
    await bench.timers.advance(20_000);
    assert.equal(limited().length, 1);
    await bench.timers.advance(20_000);
    assert.deepEqual(limited(), ['connections-limited 5', 'connections-limited 5']);
    await bench.timers.advance(600_000);
    assert.equal(limited().length, 2);
  });

  it('goes on repairing while the proxy is silent', async () => {
    const bench = new Bench();
    await bench.serving();
    await bench.timers.advance(600_000);
    bench.kernel.objects = undefined;
    await bench.timers.advance(900);
    assert.notEqual(bench.kernel.objects, undefined);
  });

  it('never overwrites a table that appeared between the look and the load', async () => {
    const bench = new Bench();
    bench.kernel.meanwhile = () => bench.kernel.putForeign();
    const { reports } = await bench.serving();
    const theirs = bench.kernel.text;
    await bench.timers.advance(30_000);
    assert.equal(bench.kernel.text, theirs);
    assert.deepEqual(reports, [
      { kind: 'failed', code: 'kernel-refused' },
      { kind: 'failed', code: 'foreign-owner' },
    ]);
  });

  it('says once why rules are not in place, tries ever more rarely, and applies when it can', async () => {
    const bench = new Bench();
    bench.kernel.failing.set('load', failure('tool-missing'));
    const { reports, kinds } = await bench.serving();
    await bench.timers.advance(60_000);
    assert.ok(bench.kernel.loads < 15, `${bench.kernel.loads} attempts in a minute`);
    assert.deepEqual(reports, [{ kind: 'failed', code: 'tool-missing' }]);
    assert.deepEqual(bench.events, ['rules-failed because']);
    bench.kernel.failing.clear();
    await bench.timers.advance(10_000);
    assert.deepEqual(kinds(), ['failed', 'applied']);
  });

  for (const code of ['kernel-timeout', 'listing-unreadable'] as const) {
    it(`reports ${code} and changes nothing when it cannot look`, async () => {
      const bench = new Bench();
      bench.kernel.failing.set('list', failure(code));
      const { reports } = await bench.serving();
      assert.deepEqual([bench.kernel.loads, reports], [0, [{ kind: 'failed', code }]]);
    });
  }

  it('does not call rules applied that nft lists in other words, and does not load them over and over', async () => {
    const bench = new Bench();
    const list = bench.kernel.list.bind(bench.kernel);
    bench.kernel.list = async () => {
      const listed = await list();
      return listed.kind === 'listed' ? { ...listed, text: listed.text.replaceAll('9880', '9999') } : listed;
    };
    const { reports } = await bench.serving();
    assert.deepEqual([bench.kernel.loads, reports], [1, [{ kind: 'failed', code: 'not-verified' }]]);
    await bench.timers.advance(60_000);
    assert.ok(bench.kernel.loads < 15, `${bench.kernel.loads} loads in a minute`);
  });

  it('is in place also if conntrack is missing, and says so', async () => {
    const bench = new Bench();
    bench.kernel.failing.set('cutFlows', failure('tool-missing'));
    const { kinds } = await bench.serving();
    assert.deepEqual(kinds(), ['applied']);
    assert.deepEqual(bench.events, ['flows-not-cut because', 'rules-applied missing']);
  });

  it('leads to the new port when the proxy comes back on another one, and reports to it anew', async () => {
    const bench = new Bench();
    const { interceptor, kinds } = await bench.serving();
    await interceptor.receive({ kind: 'instance', instance: older });
    await interceptor.receive({ kind: 'serving', port: 9881 });
    assert.match(bench.kernel.text, /"port":9881/);
    assert.deepEqual(kinds(), ['applied', 'applied']);
  });

  it('stands by for a newer instance, without a fight', async () => {
    const bench = new Bench();
    const old = await bench.serving(older, 9880);
    const fresh = await bench.serving(younger, 9881);
    const { text } = bench.kernel;
    await bench.timers.advance(60_000);
    assert.equal(bench.kernel.text, text);
    assert.equal(bench.kernel.loads, 2);
    assert.deepEqual(old.kinds(), ['applied', 'superseded']);
    assert.deepEqual(fresh.kinds(), ['applied']);
  });

  it('takes over from a newer instance that drains, at the next check', async () => {
    const bench = new Bench();
    const old = await bench.serving(older, 9880);
    const fresh = await bench.serving(younger, 9881);
    await bench.timers.advance(1_000);
    await fresh.interceptor.receive({ kind: 'draining' });
    assert.match(bench.kernel.text, /phase=draining port=9881/, 'the traffic still comes here until somebody takes it');
    await bench.timers.advance(1_000);
    assert.match(bench.kernel.text, /phase=serving port=9880/);
    assert.deepEqual(old.kinds(), ['applied', 'superseded', 'applied']);
    assert.equal(fresh.kinds().at(-1), 'superseded');
  });

  it('takes over from a newer instance only after it was silent several times in a row', async () => {
    const bench = new Bench();
    const old = await bench.serving(older, 9880);
    const fresh = await bench.serving(younger, 9881);
    await fresh.interceptor.close();
    await bench.timers.advance(1_000);
    for (let restart = 0; restart < 5; restart += 1) {
      bench.alive.delete(9881);
      await bench.timers.advance(2_000);
      bench.alive.add(9881);
      await bench.timers.advance(1_000);
    }
    assert.equal(old.kinds().at(-1), 'superseded');
    bench.alive.delete(9881);
    await bench.timers.advance(5_000);
    assert.equal(old.kinds().at(-1), 'applied');
    assert.match(bench.kernel.text, /port=9880/);
  });

  it('removes its table on release and puts nothing back', async () => {
    const bench = new Bench();
    const { interceptor, kinds } = await bench.serving();
    await interceptor.receive({ kind: 'draining' });
    await interceptor.receive({ kind: 'release' });
    await bench.timers.advance(60_000);
    assert.equal(bench.kernel.objects, undefined);
    assert.equal(kinds().at(-1), 'removed');
  });

  it('removes on release what it found after its own restart, before the proxy served again', async () => {
    const bench = new Bench();
    await (await bench.serving()).interceptor.close();
    const { interceptor, kinds } = bench.interceptor();
    await interceptor.receive({ kind: 'instance', instance: older });
    await interceptor.receive({ kind: 'release' });
    assert.deepEqual([bench.kernel.objects, kinds()], [undefined, ['removed']]);
  });

  it("removes neither a newer instance's table nor a foreign one", async () => {
    const bench = new Bench();
    const old = await bench.serving(older);
    const fresh = await bench.serving(younger, 9881);
    await old.interceptor.receive({ kind: 'release' });
    assert.match(bench.kernel.text, /port=9881/);
    await fresh.interceptor.close();
    bench.kernel.putForeign();
    const theirs = bench.kernel.text;
    await fresh.interceptor.receive({ kind: 'release' });
    assert.equal(bench.kernel.text, theirs);
  });

  it('says failed, not removed, when the kernel keeps the table', async () => {
    const bench = new Bench();
    const { interceptor, reports } = await bench.serving();
    bench.kernel.failing.set('load', failure('kernel-timeout'));
    await interceptor.receive({ kind: 'release' });
    assert.deepEqual(reports.at(-1), { kind: 'failed', code: 'kernel-timeout' });
  });

  it('leaves the table on keep and on its own end', async () => {
    const bench = new Bench();
    const { interceptor } = await bench.serving();
    const { text } = bench.kernel;
    await interceptor.receive({ kind: 'keep' });
    await interceptor.close();
    await bench.timers.advance(60_000);
    assert.equal(bench.kernel.text, text);
  });
});
