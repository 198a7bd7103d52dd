/** T14: what a pod makes the proxy hold is small, however large the documents are that it asks for. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, it } from 'node:test';
import { asksPerPod } from '../../operator/proxy/passthrough.ts';
import type { Upstream, UpstreamReply, UpstreamRequest } from '../../operator/proxy/ports.ts';
import { settle } from '../fakes/timers.ts';
import type { RawConnection } from '../unit/proxy/harness.ts';
import { nodeSettings } from '../unit/proxy/support.ts';
import { pods, Stage, v1, type StageOptions } from './harness.ts';
import { heldBytes } from './held-bytes.ts';
import { get } from './requests.ts';
import { until } from './until.ts';

const document = `${v1}/?recursive=true`;
const documentBytes = 1 << 20;
const requests = 100;
/** For the connections themselves, on both ends, which are in this process. */
const slackBytes = 16 << 20;

let stage: Stage;
const open: RawConnection[] = [];

afterEach(async () => {
  for (const { socket } of open.splice(0)) socket.destroy();
  await settle();
  stage.observe();
  await stage.stop();
});

async function start(options: StageOptions): Promise<void> {
  stage = await Stage.start(options);
}

/** A metadata server with one large secret, that answers at once and waits for changes without end. */
class LargeUpstream implements Upstream {
  asked = 0;
  waiting = 0;
  readonly #bytes = Buffer.from(
    JSON.stringify({ instance: { attributes: { 'kube-env': 'x'.repeat(documentBytes) }, zone: 'projects/1/zones/z' } }),
  );
  #release: (() => void) | undefined;
  #gate: Promise<void> | undefined;

  /** Nothing is answered until `release`. */
  hold(): void {
    this.#gate = new Promise((resolve) => (this.#release = resolve));
  }

  release(): void {
    this.#release?.();
  }

  async get({ target }: UpstreamRequest, signal: AbortSignal): Promise<UpstreamReply> {
    if (target.includes('wait_for_change')) {
      this.waiting += 1;
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      return { kind: 'unavailable' };
    }
    this.asked += 1;
    await this.#gate;
    // Another string each time, as over a socket.
    return { kind: 'answered', status: 200, json: true, body: this.#bytes.toString('latin1'), etag: 'e1' };
  }
}

/** As many requests of one pod as make sense, each on a connection of its own. */
async function askMany(target: string, from: string): Promise<void> {
  for (let count = 0; count < requests; count += 1) {
    const connection = await stage.open(from);
    open.push(connection);
    connection.send(get(target));
  }
}

describe('T14: requests that wait for a change of a document of 1 MiB', () => {
  it('hold nothing of it where it is emulated', async () => {
    const { emulated } = nodeSettings();
    const attributes = { big: 'x'.repeat(documentBytes) };
    await start({ settings: { platform: 'None', emulated: { ...emulated, attributes } } });
    const before = await heldBytes();
    const scheduled = stage.node.timers.scheduled;
    await askMany(`${document}&wait_for_change=true`, pods.privileged);
    await until('all wait', () => stage.node.timers.scheduled >= scheduled + requests);
    const held = (await heldBytes()) - before;
    assert.ok(held < slackBytes, `${held >> 20} MiB are held for ${requests} requests`);
    assert.ok(open.every(({ received }) => received === ''));
  });

  for (const [who, from] of [
    ['a pod that sees it', pods.privileged],
    ['a pod from which it is concealed', pods.bound],
  ] as const) {
    it(`hold nothing of it where it comes from an upstream: ${who}`, async () => {
      const upstream = new LargeUpstream();
      await start({ proxy: { upstream } });
      const before = await heldBytes();
      const scheduled = stage.node.timers.scheduled;
      await askMany(`${document}&wait_for_change=true`, from);
      await until('all wait', () => stage.node.timers.scheduled >= scheduled + 2 * requests && upstream.waiting > 0);
      await pause(200);
      const held = (await heldBytes()) - before;
      assert.ok(held < slackBytes, `${held >> 20} MiB are held for ${requests} requests`);
      assert.ok(open.every(({ received }) => received === ''));
    });
  }
});

describe('T14: requests for a document of 1 MiB at the same time', () => {
  it('ask the upstream once, and each pod gets what its own policies leave', async () => {
    const upstream = new LargeUpstream();
    await start({ proxy: { upstream } });
    upstream.hold();
    for (const from of [pods.bound, pods.privileged]) {
      for (let count = 0; count < asksPerPod; count += 1) {
        const connection = await stage.open(from);
        open.push(connection);
        connection.send(get(document, 'Connection: close'));
      }
    }
    await until('it is asked', () => upstream.asked > 0);
    await pause(200);
    assert.equal(upstream.asked, 1);
    upstream.release();
    const replies = await Promise.all(open.map(({ ended }) => ended));
    const large = replies.map((reply) => reply.length > documentBytes);
    assert.deepEqual(large.slice(0, asksPerPod), Array(asksPerPod).fill(false));
    // What a pod does not take is refused beyond a asksPerPod MiB: here it takes all, but not at once.
    const statuses = new Set(replies.slice(asksPerPod).map((reply) => reply.slice(9, 12)));
    assert.ok(
      large.slice(asksPerPod).includes(true) && [...statuses].every((status) => ['200', '429'].includes(status)),
    );
    assert.ok(replies.every((reply) => reply.startsWith('HTTP/1.1 429') || reply.includes('zones/z')));
    for (const reply of replies.slice(0, asksPerPod)) assert.ok(!reply.includes('kube-env'));
    // The next one is asked anew.
    assert.equal((await stage.node.get(document, { from: pods.bound, headers })).status, 200);
    assert.equal(upstream.asked, 2);
  });
});

const headers = { Host: 'metadata.google.internal', 'Metadata-Flavor': 'Google' };
