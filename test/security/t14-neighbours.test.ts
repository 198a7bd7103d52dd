/**
 * T14: one pod's abuse does not move another pod's p99. The proxy and the other pod run in processes of their own;
 * quiet periods and periods of abuse take turns, so that what else the machine does falls on both alike.
 */
import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { harmless, pods, token } from './harness.ts';
import type { Measured } from './noisy-victim.ts';
import { get } from './requests.ts';

const rounds = 3;
const periodMs = 1_000;
/** Wide, for a machine with other work: without the limits the victim fails or waits for seconds. */
const maxRatio = 8;
const slackMs = 40;
/** Half of the shortest time-out that a client has. */
const maxFloodedMs = 500;
/** New connections of the abuser in 10 ms: few where it is what they hold that counts, many in a flood. */
const few = 1;
const many = 20;

let proxy: ChildProcess;
let victim: ChildProcess;
let port = 0;

before(async () => {
  proxy = fork(new URL('./noisy-proxy.ts', import.meta.url).pathname);
  [port] = (await once(proxy, 'message')) as [number];
  victim = fork(new URL('./noisy-victim.ts', import.meta.url).pathname, [String(port)]);
  await measure(500);
});
after(() => {
  proxy.disconnect();
  victim.disconnect();
});

async function measure(durationMs: number): Promise<Measured> {
  victim.send(durationMs);
  const [measured] = (await once(victim, 'message')) as [Measured];
  return measured;
}

function p99({ latencies }: Measured): number {
  return latencies[Math.floor(latencies.length * 0.99)] ?? Infinity;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Infinity;
}

/** Connections of the abuser: to begin with, and at most. */
const atOnce = 128;
const most = 1_000;

/** Opens connections of the abuser at its pace, sends `bytes` on each and leaves them open. */
class Abuse {
  readonly #sockets = new Set<Socket>();
  #over = false;

  constructor(bytes: string, { pace = few, reads = true } = {}) {
    for (let made = 0; made < atOnce; made += 1) this.#open(bytes, reads);
    void this.#goOn(bytes, pace, reads);
  }

  end(): void {
    this.#over = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  async #goOn(bytes: string, pace: number, reads: boolean): Promise<void> {
    while (!this.#over) {
      for (let made = 0; made < pace && this.#sockets.size < most; made += 1) this.#open(bytes, reads);
      await pause(10);
    }
  }

  #open(bytes: string, reads: boolean): void {
    const socket = connect({ host: '127.0.0.1', port, localAddress: pods.bound });
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    if (reads) socket.resume();
    else socket.pause();
    socket.write(bytes);
  }
}

const manyTokens = get(token).repeat(2_000);
const oneDenial = get('/computeMetadata/v1/instance/attributes/kube-env', 'Connection: close');

/** A flood costs what it costs to refuse it: that is less than any client waits, and its ratio is told. */
const forms: readonly (readonly [string, 'holds' | 'floods', () => Abuse])[] = [
  ['idle connections, as many as it can', 'holds', () => new Abuse('')],
  ['headers without end', 'holds', () => new Abuse(`GET ${harmless} HTTP/1.1\r\nX-A: `)],
  ['questions to an upstream that hangs', 'holds', () => new Abuse(get(harmless))],
  ['tokens that never come', 'holds', () => new Abuse(get(`${token}?scopes=hang`))],
  [
    'waits for changes',
    'holds',
    () => new Abuse(get(`/computeMetadata/v1/instance/service-accounts/?wait_for_change=true`)),
  ],
  ['requests in a row whose replies it does not read', 'holds', () => new Abuse(manyTokens, { reads: false })],
  ['a flood of denials on new connections', 'floods', () => new Abuse(oneDenial, { pace: many })],
  ['a flood of requests in a row', 'floods', () => new Abuse(manyTokens, { pace: many })],
];

describe('T14: another pod, while one pod abuses the proxy with', () => {
  for (const [what, how, begin] of forms) {
    it(what, { timeout: 60_000 }, async (context) => {
      const quiet: Measured[] = [];
      const abused: Measured[] = [];
      for (let round = 0; round < rounds; round += 1) {
        quiet.push(await measure(periodMs));
        const abuse = begin();
        await pause(300);
        abused.push(await measure(periodMs));
        abuse.end();
        await pause(100);
      }
      const [without, during] = [median(quiet.map(p99)), median(abused.map(p99))];
      const ratio = (during / without).toFixed(2);
      context.diagnostic(`p99 ${without.toFixed(2)} ms without, ${during.toFixed(2)} ms during: ratio ${ratio}`);
      const failed = [...quiet, ...abused].reduce((sum, measured) => sum + measured.failed, 0);
      assert.equal(failed, 0, 'requests of the other pod failed');
      const most = how === 'floods' ? maxFloodedMs : maxRatio * without + slackMs;
      assert.ok(during <= most, `p99 ${without} ms without, ${during} ms during`);
    });
  }
});
