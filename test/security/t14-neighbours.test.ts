/**
 * T14: one pod's abuse does not move another pod's p99. On the real kernel: pods in network namespaces ask the metadata
 * address, and the node's table leads them to the proxy. Everybody runs in a process of their own; periods with and
 * without abuse take turns, so that what else the machine does falls on all alike.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { replacement } from '../../operator/core/redirect/batch.ts';
import type { Network } from '../netns/network.ts';
import { addresses, metadataServer, nodeNetwork, type Place } from '../netns/topology.ts';
import { plan } from '../unit/core/redirect/plans.ts';
import type { Order } from './neighbours/abuser.ts';
import { forms, type Form } from './neighbours/forms.ts';
import type { Measured } from './neighbours/victim.ts';

const rounds = 3;
const periodMs = 1_000;
/** Until the abuser has what it is let have. */
const beginMs = 800;
const endMs = 100;
/** Wide, for a machine with other work: without the limits the victim fails or waits for seconds. */
const maxRatio = 5;
const slackMs = 30;

const upstreamPort = 9990;
/** Of a second proxy on the node, which nobody but the abuser asks. */
const otherPort = 9991;
const metadata = { host: metadataServer.ipv4, port: 80 };
const elsewhere = { host: addresses.node.ipv4, port: otherPort };
let network: Network;
let abuser: ChildProcess;
let victim: ChildProcess;

before(async () => {
  network = nodeNetwork();
  await once(start('node', 'upstream.ts', upstreamPort), 'message');
  await once(start('node', 'proxy.ts', plan.port, upstreamPort), 'message');
  await once(start('node', 'proxy.ts', otherPort, upstreamPort), 'message');
  redirect();
  abuser = start('pod-a', 'abuser.ts');
  victim = start('pod-b', 'victim.ts');
  await measure(500);
});
after(async () => {
  await network[Symbol.asyncDispose]();
});

function start(place: Place, file: string, ...arguments_: readonly number[]): ChildProcess {
  const program = join(import.meta.dirname, 'neighbours', file);
  return network.spawn(place, [process.execPath, program, ...arguments_.map(String)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

/** Puts in the node's kernel what intercept would. */
function redirect(): void {
  const batch = replacement({ ...plan, nodeAddresses: addresses.node }, { kind: 'missing' });
  network.run('node', 'nft', '-j', batch);
}

async function measure(durationMs: number): Promise<Measured> {
  victim.send(durationMs);
  const [measured] = (await once(victim, 'message')) as [Measured];
  return measured;
}

async function measureBeside(form: Form, at: Pick<Order, 'host' | 'port'>): Promise<Measured> {
  abuser.send({ form: forms.indexOf(form), ...at } satisfies Order);
  await pause(beginMs);
  const measured = await measure(periodMs);
  abuser.send('stop');
  await pause(endMs);
  return measured;
}

function p99({ latencies }: Measured): number {
  return latencies[Math.floor(latencies.length * 0.99)] ?? Infinity;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Infinity;
}

describe('T14: another pod, while one pod abuses the proxy with', () => {
  for (const form of forms) {
    it(form.what, { timeout: 60_000 }, async (context) => {
      const without: Measured[] = [];
      const during: Measured[] = [];
      for (let round = 0; round < rounds; round += 1) {
        // What the machine does to everybody is no fault of the proxy: a flood is compared with one that goes elsewhere.
        without.push(form.flood === true ? await measureBeside(form, elsewhere) : await measure(periodMs));
        during.push(await measureBeside(form, metadata));
      }
      const [base, abused] = [median(without.map(p99)), median(during.map(p99))];
      const beside = form.flood === true ? 'beside the same elsewhere' : 'without';
      const ratio = (abused / base).toFixed(1);
      context.diagnostic(`p99 ${base.toFixed(1)} ms ${beside}, ${abused.toFixed(1)} ms during: ratio ${ratio}`);
      const failed = [...without, ...during].reduce((sum, measured) => sum + measured.failed, 0);
      assert.equal(failed, 0, 'requests of the other pod failed');
      assert.ok(abused <= maxRatio * base + slackMs, `p99 ${base} ms ${beside}, ${abused} ms during`);
    });
  }
});
