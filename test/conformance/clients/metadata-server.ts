/**
 * Runs in a namespace: the real proxy at the metadata server's address, with made-up tokens that say whose they are,
 * and a Cloud Storage that has buckets for the bearer of each. Arguments: addresses of the bound and of the unbound
 * pod, and where Cloud Storage listens. Each line of input is an edit of the binding.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { sha256, systemTimers } from '../../../operator/cmd/system.ts';
import type { TokenWish } from '../../../operator/core/token/types.ts';
import { startProxy } from '../../../operator/proxy/server.ts';
import { silentLogger } from '../../../operator/telemetry/log.ts';
import { metadataServer } from '../../netns/topology.ts';
import { binding, FakeSnapshots, FakeTokenSource, issued, workload } from '../../unit/proxy/support.ts';

const [bound = '', unbound = '', storageHost = '', storagePort = ''] = process.argv.slice(2);

const hourMs = 3_600_000;
let generation = 1;

/** What the clients take for a signed token: they read its claims and leave the signature to the one it is for. */
function madeUpToken(wish: TokenWish): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: 'test', iat: now, exp: now + 3600, ...wish, generation };
  const audience = wish.kind === 'identity' ? { aud: wish.audience } : {};
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return [part({ alg: 'RS256', typ: 'JWT' }), part({ ...claims, ...audience }), 'c2lnbmF0dXJl'].join('.');
}

const snapshots = new FakeSnapshots();
const edit = (): void =>
  snapshots.set({
    workloads: [workload('bound', bound, binding('bound', { generation })), workload('unbound', unbound, undefined)],
  });
const tokens = new FakeTokenSource();
tokens.policy = (_, wish) => issued(madeUpToken(wish), Date.now() + hourMs);
edit();

await startProxy({
  snapshotSource: snapshots,
  tokenSource: tokens,
  reports: { report: () => undefined },
  logger: silentLogger,
  timers: systemTimers,
  random: Math.random,
  hash: sha256,
  listen: [{ host: metadataServer.ipv4, port: 80 }],
});

/** The buckets' names say which scopes and which generation the bearer's token is for. */
const storage = createServer((request, response) => {
  const [, claims] = /^Bearer [\w-]+\.([\w-]+)\./.exec(request.headers.authorization ?? '') ?? [];
  const status = claims === undefined || !request.url?.startsWith('/storage/v1/b?') ? 404 : 200;
  const { generation } = JSON.parse(Buffer.from(claims ?? 'e30', 'base64url').toString()) as { generation?: number };
  const items = ['first', 'second'].map((name) => ({
    kind: 'storage#bucket',
    id: name,
    name: `${name}-${generation}`,
  }));
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify({ kind: 'storage#buckets', items }));
});
await once(storage.listen(Number(storagePort), storageHost), 'listening');

process.stdout.write('listening\n');
createInterface({ input: process.stdin }).on('line', () => {
  generation += 1;
  edit();
  process.stdout.write('edited\n');
});
