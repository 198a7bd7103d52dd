import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import {
  GoogleCredentialsAdapter,
  type GoogleCredentialsOptions,
} from '../../../operator/adapters/google/credentials.ts';
import { endpointOf } from '../../../operator/adapters/google/endpoints.ts';
import type { FederationSettings } from '../../../operator/nodeapi/server/ports.ts';
import { identity, impersonation, startTestGoogle, type TestGoogle } from './cluster-issuer.ts';

const never = new AbortController().signal;

/** A certificate for 127.0.0.1 that no public authority signed. */
async function selfSigned(): Promise<{ key: string; cert: string }> {
  const keys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=Private Google Access',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }]),
    ],
  });
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return { key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`, cert: certificate.toString('pem') };
}

/** A forward proxy that only tunnels, as a company's does; it counts the tunnels by target. */
async function startConnectProxy(): Promise<{ url: string; tunnels: string[]; server: Server }> {
  const tunnels: string[] = [];
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on('connect', (request, client) => {
    tunnels.push(request.url ?? '');
    const [host = '', port = ''] = (request.url ?? '').split(':');
    const target = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      target.pipe(client).pipe(target);
    });
    target.on('error', () => client.destroy());
    client.on('error', () => target.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, tunnels, server };
}

describe('the way to Google', () => {
  let google: TestGoogle;
  let certificate: string;
  let trusted: FederationSettings;

  before(async () => {
    const tls = await selfSigned();
    certificate = tls.cert;
    google = await startTestGoogle({ tls });
    trusted = { ...google.provider, caBundle: certificate };
  });
  after(() => google.google.close());

  async function exchange(options: GoogleCredentialsOptions, provider: FederationSettings): Promise<void> {
    const credentials = new GoogleCredentialsAdapter(options);
    try {
      const token = await google.cluster.token();
      const issued = await credentials.accessToken(impersonation(provider, token), never);
      assert.equal(google.google.whoIs(issued.token)?.kind, 'service-account');
      await credentials.identityToken(identity(provider, token), never);
    } finally {
      await credentials.close();
    }
  }

  it('trusts the certificates of caBundle for both endpoints', async () => {
    await exchange({ proxy: { noProxy: '*' } }, trusted);
  });

  it('trusts nobody else’s certificate', async () => {
    await assert.rejects(exchange({ proxy: { noProxy: '*' } }, google.provider), {
      code: 'google-unavailable',
      message: /could not be reached: self-signed certificate/,
    });
  });

  it('keeps the trust of one provider away from another', async () => {
    const credentials = new GoogleCredentialsAdapter({ proxy: { noProxy: '*' } });
    const token = await google.cluster.token();
    await credentials.accessToken(impersonation(trusted, token), never);
    await assert.rejects(credentials.accessToken(impersonation(google.provider, token), never), {
      code: 'google-unavailable',
    });
    await credentials.close();
  });

  it('says so when caBundle is no certificate', async () => {
    for (const caBundle of ['not PEM', certificate.slice(0, 100), certificate.replace(/[A-Z]{4}/g, 'AAAA')]) {
      await assert.rejects(exchange({ proxy: { noProxy: '*' } }, { ...google.provider, caBundle }), {
        code: 'invalid-configuration',
        message: 'caBundle is not PEM certificates',
      });
    }
  });

  it('goes through the proxy it is given', async () => {
    const proxy = await startConnectProxy();
    await exchange({ proxy: { httpsProxy: proxy.url, noProxy: '' } }, trusted);
    assert.deepEqual(new Set(proxy.tunnels), new Set([new URL(google.google.stsEndpoint).host]));
    proxy.server.close();
  });

  it('goes through HTTPS_PROXY of the environment, except where NO_PROXY says not to', async () => {
    const proxy = await startConnectProxy();
    const saved = { ...process.env };
    try {
      Object.assign(process.env, { HTTPS_PROXY: proxy.url, NO_PROXY: '' });
      await exchange({}, trusted);
      const tunnels = proxy.tunnels.length;
      assert.ok(tunnels > 0);
      process.env['NO_PROXY'] = 'example.com,127.0.0.1';
      await exchange({}, trusted);
      assert.equal(proxy.tunnels.length, tunnels);
    } finally {
      process.env = saved;
      proxy.server.close();
    }
  });

  it('calls a proxy that refuses unavailability, whatever it says', async () => {
    const server = createServer();
    server.on('connect', (_, client) => client.end('HTTP/1.1 403 Forbidden\r\n\r\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const httpsProxy = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await assert.rejects(exchange({ proxy: { httpsProxy, noProxy: '' } }, trusted), { code: 'google-unavailable' });
    server.close();
  });
});

describe('a redirect', () => {
  it('takes no token to another host', async () => {
    const elsewhere = await startTestGoogle();
    const server = createServer((request, response) => {
      response.writeHead(307, { location: `${elsewhere.google.stsEndpoint}${request.url ?? ''}` }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const stsEndpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const credentials = new GoogleCredentialsAdapter({ allowInsecureEndpoints: true, proxy: { noProxy: '*' } });
    try {
      const request = impersonation({ ...elsewhere.provider, stsEndpoint }, await elsewhere.cluster.token());
      await assert.rejects(credentials.accessToken(request, never), {
        code: 'google-unavailable',
        message: /answered 307/,
      });
      assert.deepEqual(elsewhere.google.requests(), []);
    } finally {
      server.close();
      await Promise.all([credentials.close(), elsewhere.google.close()]);
    }
  });
});

describe('an endpoint', () => {
  const settings = { audience: '', universeDomain: 'googleapis.com' };

  it('is the universe’s own unless one is set', () => {
    assert.equal(endpointOf('sts', settings, false), 'https://sts.googleapis.com');
    assert.equal(
      endpointOf('iamcredentials', { ...settings, universeDomain: 'apis-berlin-build0.goog' }, false),
      'https://iamcredentials.apis-berlin-build0.goog',
    );
    assert.equal(
      endpointOf('sts', { ...settings, stsEndpoint: 'https://sts.private.example:8443/google/' }, false),
      'https://sts.private.example:8443/google',
    );
  });

  it('is https, without credentials, query or fragment', () => {
    for (const stsEndpoint of [
      'http://sts.example.com',
      'ftp://sts.example.com',
      'https://user@sts.example.com',
      'https://user:secret@sts.example.com',
      'https://sts.example.com?x=1',
      'https://sts.example.com#x',
      'sts.example.com',
      '',
    ]) {
      assert.throws(() => endpointOf('sts', { ...settings, stsEndpoint }, false), { code: 'invalid-configuration' });
    }
    assert.equal(endpointOf('sts', { ...settings, stsEndpoint: 'http://127.0.0.1:1' }, true), 'http://127.0.0.1:1');
  });

  it('over http gets no token at all from an adapter that was not told to allow it', async () => {
    const google = await startTestGoogle();
    const credentials = new GoogleCredentialsAdapter({ proxy: { noProxy: '*' } });
    const secure = { ...google.provider, stsEndpoint: 'https://127.0.0.1:9' };
    for (const provider of [google.provider, secure]) {
      await assert.rejects(credentials.accessToken(impersonation(provider, await google.cluster.token()), never), {
        code: 'invalid-configuration',
      });
    }
    assert.deepEqual(google.google.requests(), []);
    await google.google.close();
  });
});
