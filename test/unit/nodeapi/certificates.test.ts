/** The CA: when it changes, and that no proxy loses its connection over it. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import { describe, it } from 'node:test';
import { X509CertificateIssuer } from '../../../operator/adapters/http/certificate-issuer.ts';
import { MemoryAuthority } from '../../../operator/adapters/http/memory-authority.ts';
import {
  certificateTimes,
  Certificates,
  decodeAuthorityState,
  encodeAuthorityState,
  planRotation,
  trustBundleOf,
} from '../../../operator/nodeapi/server/certificates.ts';
import type { AuthorityState, RotationStep, ServerCertificate } from '../../../operator/nodeapi/server/certificates.ts';
import { serverName } from './world.ts';

const day = 86_400_000;
const year = certificateTimes.authority;
const authority = (notBefore: number, name = 'ca') => ({
  certificate: name,
  key: 'key',
  notBefore,
  notAfter: notBefore + year,
});
const fresh: AuthorityState = { signing: authority(0), previous: [] };

describe('what is due', () => {
  const next = { authority: authority(250 * day), introducedAt: 250 * day };
  const previous = [{ certificate: 'old', trustedUntil: 10 * day }];
  const rows: readonly (readonly [string, AuthorityState | undefined, number, RotationStep])[] = [
    ['nothing is there', undefined, 0, 'create'],
    ['a young CA', fresh, day, 'keep'],
    ['two thirds over', fresh, (2 / 3) * year + 1, 'introduce'],
    ['introduced a moment ago', { ...fresh, next }, 250 * day + 1000, 'keep'],
    ['introduced an hour ago', { ...fresh, next }, 250 * day + certificateTimes.overlap, 'activate'],
    ['the old one may still have signed something', { ...fresh, previous }, 10 * day - 1, 'keep'],
    ['nothing of the old one is left', { ...fresh, previous }, 10 * day, 'retire'],
    ['the CA has ended', { ...fresh, next }, year, 'create'],
  ];
  for (const [when, state, now, step] of rows)
    it(`${when}: ${step}`, () => {
      assert.equal(planRotation(state, now), step);
    });

  it('all that may be met is trusted', () => {
    const bundle = trustBundleOf({ ...fresh, next: { ...next, authority: authority(0, 'next') }, previous });
    assert.equal(bundle, 'ca\nnext\nold\n');
  });
});

/** A replica and its stores on a clock that starts now: certificates are checked by real TLS. */
function world() {
  const start = Date.now();
  const clock = { offset: 0, now: () => start + clock.offset };
  const store = new MemoryAuthority();
  const issuer = new X509CertificateIssuer();
  const replica = () => new Certificates({ store, bundle: store, issuer, clock, names: [serverName] });
  return { clock, store, replica };
}

async function accepted(server: ServerCertificate, ca: string, servername = serverName): Promise<boolean> {
  const listener = createServer({ key: server.key, cert: server.certificate }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const socket = connect({ host: '127.0.0.1', port: (listener.address() as AddressInfo).port, ca, servername });
  const outcome = Promise.withResolvers<boolean>();
  socket.on('secureConnect', () => outcome.resolve(socket.authorized));
  socket.on('error', () => outcome.resolve(false));
  const result = await outcome.promise;
  socket.destroy();
  listener.close();
  return result;
}

describe('certificates', () => {
  it('a server is accepted under its name by who has the bundle, and by nobody else', async () => {
    const { store, replica } = world();
    const { step, renewed } = await replica().reconcile('leader');
    assert.ok(step === 'create' && renewed);
    assert.equal(await accepted(renewed, store.published), true);
    assert.equal(await accepted(renewed, store.published, 'other.name'), false);
    const other = world();
    await other.replica().reconcile('leader');
    assert.equal(await accepted(renewed, other.store.published), false);
  });

  it('are ECDSA P-256, the CA signs nothing but leaves, the leaf signs nothing', async () => {
    const { store, replica } = world();
    const { renewed } = await replica().reconcile('leader');
    const [ca, leaf] = [new X509Certificate(store.published), new X509Certificate(renewed?.certificate ?? '')];
    for (const { publicKey } of [ca, leaf]) assert.equal(publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
    assert.deepEqual([ca.ca, leaf.ca, leaf.subjectAltName], [true, false, `DNS:${serverName}`]);
    assert.ok(leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
    assert.ok(leaf.validToDate.getTime() - Date.now() <= certificateTimes.server);
  });

  it('nothing changes while nothing is due, and the server renews in its last third', async () => {
    const { clock, replica } = world();
    const leader = replica();
    await leader.reconcile('leader');
    assert.deepEqual(await leader.reconcile('leader'), { step: 'keep', renewed: undefined });
    clock.offset = 5 * day;
    const { step, renewed } = await leader.reconcile('leader');
    assert.ok(step === 'keep' && renewed);
  });

  it('through a whole rotation the newest server is accepted by the bundle before and after each step', async () => {
    const { clock, store, replica } = world();
    const leader = replica();
    // TLS has no clock of ours: what it is to accept now is made in the past.
    const { overlap, server } = certificateTimes;
    clock.offset = -250 * day;
    await leader.reconcile('leader');
    let serving: ServerCertificate | undefined;
    const steps: RotationStep[] = [];
    for (const offset of [-overlap, -1000, 0]) {
      const before = store.published;
      clock.offset = offset;
      const { step, renewed } = await leader.reconcile('leader');
      steps.push(step);
      serving = renewed ?? serving;
      assert.ok(serving);
      assert.equal(await accepted(serving, before), true, `${step}: a proxy with the bundle from before`);
      assert.equal(await accepted(serving, store.published), true, `${step}: a proxy with the new bundle`);
    }
    clock.offset = server;
    steps.push((await leader.reconcile('leader')).step);
    assert.deepEqual(steps, ['introduce', 'keep', 'activate', 'retire']);
    assert.equal(store.published.match(/BEGIN/gu)?.length, 1);
  });

  it('a follower never changes what is shared, and serves from what is there', async () => {
    const { store, replica } = world();
    assert.deepEqual(await replica().reconcile('follower'), { step: 'keep', renewed: undefined });
    assert.equal(await store.load(), undefined);
    await replica().reconcile('leader');
    const { renewed } = await replica().reconcile('follower');
    assert.ok(renewed);
    assert.equal(await accepted(renewed, store.published), true);
  });

  it('two that lead at once end with one CA', async () => {
    const { store, replica } = world();
    const outcomes = await Promise.all([replica().reconcile('leader'), replica().reconcile('leader')]);
    for (const { renewed } of outcomes) assert.equal(renewed && (await accepted(renewed, store.published)), true);
    assert.deepEqual(outcomes.map(({ step }) => step).sort(), ['create', 'keep']);
  });
});

describe('the stored state', () => {
  it('is read as it was written', async () => {
    const { store, replica } = world();
    await replica().reconcile('leader');
    const stored = await store.load();
    assert.ok(stored);
    assert.deepEqual(decodeAuthorityState(encodeAuthorityState(stored.state)), stored.state);
  });

  for (const text of [
    '',
    '{}',
    'null',
    '{"signing":{"certificate":"x","key":"y","notBefore":0,"notAfter":1},"previous":[]}',
  ])
    it(`is refused when it is none: ${text}`, () => assert.equal(decodeAuthorityState(text), undefined));
});
