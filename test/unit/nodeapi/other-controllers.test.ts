/** Controllers that are not ours: the next version, the one before, silent ones, and ones that send rubbish. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { X509CertificateIssuer } from '../../../operator/adapters/http/certificate-issuer.ts';
import type { PodUid } from '../../../operator/core/brand.ts';
import { snapshotFrame } from '../../../operator/nodeapi/wire/frames.ts';
import type { ProtocolRange } from '../../../operator/nodeapi/wire/protocol.ts';
import { policy, settings, snapshot, workload } from './resources.ts';
import { Cluster, newClient, serverName, startReplica, until } from './world.ts';

const hello = { type: 'hello', protocol: 1, heartbeatMs: 1000 };
const base = snapshot(settings('node-a'), workload('alpha'), policy('hide'));

interface Scripted {
  readonly cluster: Cluster;
  readonly address: string;
  readonly watches: IncomingMessage[];
  readonly acks: { version: string; nacks: { key: string; reason: string }[] }[];
}

type OnWatch = (response: ServerResponse, count: number) => void;

/** Something that our CA vouches for and that answers as `serve` says. */
async function listening(
  t: TestContext,
  serve: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ readonly cluster: Cluster; readonly address: string }> {
  const cluster = new Cluster();
  const issuer = new X509CertificateIssuer();
  const validity = { notBefore: Date.now() - 1000, notAfter: Date.now() + 3_600_000 };
  const authority = await issuer.createAuthority(validity);
  const { key, certificate } = await issuer.issueServer(authority, [serverName], validity);
  await cluster.authority.publish(authority.certificate);
  const server = createServer({ key, cert: certificate }, serve).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { cluster, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** A controller whose watch does what `onWatch` says, and that takes every acknowledgement. */
async function scripted(t: TestContext, onWatch: OnWatch): Promise<Scripted> {
  const watches: IncomingMessage[] = [];
  const acks: Scripted['acks'] = [];
  const { cluster, address } = await listening(t, (request, response) => {
    if (request.url?.startsWith('/v1/watch') === true) {
      watches.push(request);
      onWatch(response, watches.length);
      return;
    }
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      acks.push(JSON.parse(body) as Scripted['acks'][number]);
      response.end('{"later":"field"}');
    });
  });
  return { cluster, address, watches, acks };
}

const send = (response: ServerResponse, ...frames: readonly unknown[]): void => {
  for (const frame of frames) {
    response.write(typeof frame === 'string' || frame instanceof Buffer ? frame : JSON.stringify(frame));
    response.write('\n');
  }
};

async function watching(t: TestContext, onWatch: OnWatch) {
  const world = await scripted(t, onWatch);
  const proxy = newClient(t, world.cluster, { service: world.address, token: 'a.b.c' });
  await proxy.client.start();
  return { ...world, ...proxy };
}

describe('the next controller', () => {
  it('may add fields, frames and resources: what is known is taken over, what is not is refused by name', async (t) => {
    const later = {
      ...snapshotFrame(base),
      later: true,
      resources: [
        ...snapshotFrame(base).resources.map((each) => ({ ...(each as object), later: [1] })),
        { key: 'quota/q', hash: 'ab', resource: { kind: 'quota', id: 'q', body: {} } },
      ],
    };
    const { client, acks } = await watching(t, (response) =>
      send(response, { ...hello, later: 1 }, { type: 'later', what: 'ever' }, later),
    );
    await until('acknowledged', () => acks.length === 1);
    assert.deepEqual(client.current(), base);
    assert.deepEqual(
      acks[0]?.nacks.map(({ key }) => key),
      ['quota/q'],
    );
  });

  for (const [name, protocols] of [
    ['speaks one more', { min: 1, max: 2 }],
    ['spoke one less', { min: 0, max: 1 }],
  ] as const)
    it(`${name} protocol: both take the one they share`, async (t) => {
      const cluster = new Cluster();
      cluster.snapshots.set('node-a', settings('node-a'));
      const { address } = await startReplica(t, cluster, { protocols });
      const { client } = newClient(t, cluster, { service: address, token: cluster.proxy('proxy-a', 'node-a') });
      await client.start();
      await until('snapshot', () => client.current() !== undefined);
    });

  it('that shares no protocol refuses, and says so', async (t) => {
    const cluster = new Cluster();
    const protocols: ProtocolRange = { min: 2, max: 3 };
    const { address } = await startReplica(t, cluster, { protocols });
    const { client } = newClient(t, cluster, { service: address, token: cluster.proxy('proxy-a', 'node-a') });
    const asked = client.request('p' as PodUid, { kind: 'access', scopes: [] }, new AbortController().signal);
    await assert.rejects(asked, { code: 'nodeapi-refused', message: /^protocol-unsupported/u });
  });

  it('an old proxy gets on with a new controller, and a new proxy with an old one', async (t) => {
    const cluster = new Cluster();
    cluster.snapshots.set('node-a', settings('node-a'));
    const { address } = await startReplica(t, cluster);
    for (const [index, protocols] of [
      { min: 1, max: 2 },
      { min: 0, max: 1 },
    ].entries()) {
      const token = cluster.proxy(`proxy-${index}`, 'node-a');
      const { client } = newClient(t, cluster, { service: address, token, protocols });
      await client.start();
      await until('snapshot', () => client.current() !== undefined);
    }
  });
});

describe('a resource that does not decode', () => {
  const delta = (to: string, resource: object) => ({
    type: 'delta',
    from: base.version,
    to,
    upserts: [resource],
    removals: [],
  });

  it('leaves the last good policy in force', async (t) => {
    const bad = { key: 'policy/policy-hide', hash: 'ff', resource: { kind: 'policy', id: 'policy-hide', body: {} } };
    const { client, acks } = await watching(t, (response) =>
      send(response, hello, snapshotFrame(base), delta('aa', bad)),
    );
    await until('acknowledged', () => acks.at(-1)?.version === 'aa');
    assert.deepEqual(client.current()?.resources.get('policy/policy-hide'), base.resources.get('policy/policy-hide'));
    assert.deepEqual(
      acks.at(-1)?.nacks.map(({ key }) => key),
      ['policy/policy-hide'],
    );
  });

  it('forgets a workload rather than serve it by an outdated binding', async (t) => {
    const bad = { key: 'workload/pod-alpha', hash: 'ff', resource: { kind: 'workload', id: 'pod-alpha', body: {} } };
    const { client, acks } = await watching(t, (response) =>
      send(response, hello, snapshotFrame(base), delta('aa', bad)),
    );
    await until('acknowledged', () => acks.at(-1)?.version === 'aa');
    assert.deepEqual([...(client.current()?.resources.keys() ?? [])].sort(), ['policy/policy-hide', 'settings/node']);
  });

  it('under the key of another one is refused', async (t) => {
    const foreign = { ...(snapshotFrame(base).resources[0] as object), key: 'workload/pod-alpha', hash: 'ff' };
    const { acks } = await watching(t, (response) => send(response, hello, snapshotFrame(base), delta('aa', foreign)));
    await until('acknowledged', () => acks.at(-1)?.version === 'aa');
    assert.deepEqual(
      acks.at(-1)?.nacks.map(({ key }) => key),
      ['workload/pod-alpha'],
    );
  });
});

describe('a stream that is no use', () => {
  const rubbish: readonly (readonly [string, unknown])[] = [
    ['no JSON', '{"type":'],
    ['no type', '{}'],
    ['a snapshot without version', '{"type":"snapshot","resources":[]}'],
    ['a delta from nowhere', { type: 'delta', from: 'ee', to: 'ff', upserts: [], removals: [] }],
    ['a hash of another alphabet', { type: 'snapshot', version: '../../etc', resources: [] }],
    ['bytes that are no UTF-8', Buffer.from([0xff, 0xfe])],
  ];
  for (const [what, frame] of rubbish)
    it(`${what}: everything is asked for anew, and what is there is served on`, async (t) => {
      const { client, watches, log, cluster } = await watching(t, (response, count) =>
        count === 1 ? send(response, hello, snapshotFrame(base), frame) : send(response, hello),
      );
      await until('refused', () => log.of('frame-refused').length === 1);
      assert.deepEqual(client.current(), base);
      await until('asked again', () => {
        cluster.clock.jump(10);
        return watches.length === 2;
      });
      assert.equal(watches[1]?.url, '/v1/watch');
    });

  it('a line without end is cut at the bound', async (t) => {
    const { log } = await watching(t, (response) => {
      response.write(JSON.stringify(hello));
      const block = Buffer.alloc(1024 * 1024, 0x20);
      for (let sent = 0; sent < 9; sent += 1) response.write(block);
    });
    await until('refused', () => log.of('frame-refused').length === 1);
    assert.equal(log.of('frame-refused')[0]?.['reason'], 'too-long');
  });

  it('silence for three heartbeats ends it, and the next one resumes', async (t) => {
    const { client, watches, cluster } = await watching(t, (response) => send(response, hello, snapshotFrame(base)));
    await until('snapshot', () => client.current() !== undefined);
    cluster.clock.jump(2999);
    assert.equal(watches.length, 1);
    assert.ok(client.connected);
    cluster.clock.jump(1);
    await until('disconnected', () => !client.connected);
    await until('asked again', () => {
      cluster.clock.jump(10);
      return watches.length === 2;
    });
    assert.equal(watches[1]?.url, `/v1/watch?resume=${base.version}`);
  });

  it('pauses grow while nothing is heard, up to 30 s', async (t) => {
    const { watches, cluster } = await watching(t, (response) => response.destroy());
    const gaps: number[] = [];
    for (let count = 1; count < 10; count += 1) {
      const from = cluster.clock.now();
      await until(`watch ${count}`, () => watches.length === count);
      await until(`watch ${count + 1}`, () => {
        cluster.clock.jump(50);
        return watches.length > count;
      });
      gaps.push(cluster.clock.now() - from);
    }
    assert.ok((gaps.at(-1) ?? 0) > 10 * (gaps[0] ?? 0), gaps.join());
  });

  it('a good session makes the next pause a short one', async (t) => {
    const { watches, cluster } = await watching(t, (response, count) => {
      if (count === 8) send(response, hello, snapshotFrame(base));
      response.end();
    });
    const watchAfter = async (count: number): Promise<number> => {
      const from = cluster.clock.now();
      await until(`watch ${count}`, () => {
        cluster.clock.jump(50);
        return watches.length >= count;
      });
      return cluster.clock.now() - from;
    };
    await until('first', () => watches.length === 1);
    const long = await watchAfter(8);
    const short = await watchAfter(9);
    assert.ok(short < long / 5, `${short} after ${long}`);
  });

  it('an acknowledgement that fails is given again, with the version of then', async (t) => {
    let calls = 0;
    const { cluster, address } = await listening(t, (request, response) => {
      if (request.url?.startsWith('/v1/watch') === true) {
        send(response, hello, snapshotFrame(base));
        return;
      }
      calls += 1;
      response.writeHead(calls === 1 ? 500 : 200).end('{}');
    });
    const { client, log } = newClient(t, cluster, { service: address, token: 'a.b.c' });
    await client.start();
    await until('refused', () => log.of('controller-disconnected').length === 1);
    // Less than the silence that would end the watch.
    cluster.clock.jump(1000);
    await until('given again', () => calls === 2);
  });

  it('a kept connection that was closed meanwhile costs nobody a token', async (t) => {
    const seen = new Set<Socket>();
    const { cluster, address } = await listening(t, (request, response) => {
      // Each connection answers once, and hangs up on its second request.
      if (seen.has(request.socket)) request.socket.destroy();
      else response.end(JSON.stringify({ kind: 'refused', refusal: { kind: 'unbound' } }));
      seen.add(request.socket);
    });
    const { client } = newClient(t, cluster, { service: address, token: 'a.b.c' });
    const ask = () => client.request('p' as PodUid, { kind: 'access', scopes: [] }, new AbortController().signal);
    for (let call = 0; call < 4; call += 1) assert.equal((await ask()).kind, 'refused');
    assert.equal(seen.size, 4);
  });

  it('no reply to a call can crash the proxy (property)', async (t) => {
    let reply: { status: number; body: string } = { status: 200, body: '' };
    const { cluster, address } = await listening(t, (_request, response) => {
      response.writeHead(reply.status);
      response.end(reply.body);
    });
    const { client } = newClient(t, cluster, { service: address, token: 'a.b.c' });
    const status = fc.constantFrom(200, 200, 400, 403, 421, 426, 429, 500, 503);
    const refusal = fc.record({
      code: fc.constantFrom('not-leader', 'internal', 'later'),
      message: fc.string(),
      leader: fc.constantFrom('[::1', 'a b:1', ':', '-:1', 'http://x:1'),
    });
    const body = fc.oneof(
      fc.json(),
      fc.string(),
      refusal.map((value) => JSON.stringify(value)),
    );
    await fc.assert(
      fc.asyncProperty(fc.record({ status, body }), async (next) => {
        reply = next;
        const asked = client.request('p' as PodUid, { kind: 'access', scopes: [] }, new AbortController().signal);
        await assert.rejects(asked, (error: { code?: string }) => error.code?.startsWith('nodeapi-') === true);
      }),
      { numRuns: 100 },
    );
  });
});
