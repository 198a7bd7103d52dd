/**
 * T06: requests that a proxy sent on for somebody else, who could be anybody. Google refuses X-Forwarded-For; here
 * every header that says so is refused, whatever its value, and none is ever passed on.
 */
import { after, before, describe, it } from 'node:test';
import { denied, served } from './assertions.ts';
import { harmless, kubeEnv, pods, Stage, token } from './harness.ts';
import { flavorLine, get, hostLine, lines } from './requests.ts';

const forwarded = {
  status: 403,
  code: 'forwarded-request',
  body: 'Forwarded requests are not allowed by the metadata server.',
} as const;

const names = [
  'X-Forwarded-For',
  'x-forwarded-for',
  'X-FORWARDED-FOR',
  'x-FoRwArDeD-fOr',
  'X_Forwarded_For',
  'X-Forwarded_For',
  'X-Forwarded',
  'X-Forwarded-By',
  'X-Forwarded-Host',
  'X-Forwarded-Port',
  'X-Forwarded-Prefix',
  'X-Forwarded-Scheme',
  'X-Forwarded-Server',
  'X-Forwarded-Uri',
  'X-Original-Forwarded-For',
  'X-Original-Host',
  'X-Original-URL',
  'X-Originating-IP',
  'X-Rewrite-URL',
  'X-Real-IP',
  'x-real-ip',
  'X_Real_IP',
  'X-Remote-IP',
  'X-Remote-Addr',
  'X-Client-IP',
  'X-Cluster-Client-IP',
  'Client-IP',
  'True-Client-IP',
  'CF-Connecting-IP',
  'Fastly-Client-IP',
  'Forwarded',
  'FORWARDED',
  'Forwarded-For',
  'Via',
  'via',
];

describe('T06 forwarded headers', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage.stop());

  for (const name of names) {
    it(`${name}: forwarded-request`, async () => {
      denied(await stage.send(get(kubeEnv, `${name}: 10.0.0.1`), { from: pods.privileged }), forwarded);
      denied(await stage.send(get(token, `${name}:`)), forwarded);
      denied(await stage.send(lines('GET / HTTP/1.1', hostLine, `${name}: ${pods.privileged}`)), forwarded);
    });
  }

  for (const [what, ...headers] of [
    ['given twice', 'X-Forwarded-For: 10.0.0.1', 'X-Forwarded-For: 10.0.0.2'],
    ['given twice, once empty', 'X-Forwarded-For:', 'x-forwarded-for: 10.0.0.2'],
    ['as a list', 'X-Forwarded-For: 10.0.0.1, 10.0.0.2'],
    ['of the address of another pod', `X-Forwarded-For: ${pods.privileged}`],
    ['of the metadata address', 'X-Forwarded-For: 169.254.169.254'],
    ['that Connection says is for one hop', 'Connection: X-Forwarded-For', 'X-Forwarded-For: 10.0.0.1'],
    ['with a white-listed one', 'X-Forwarded-Proto: http', 'X-Forwarded-For: 10.0.0.1'],
    ['of the whole standard form', 'Forwarded: for=10.0.0.1;proto=http;by=10.0.0.2;host=metadata'],
    ['with unprintable bytes', 'Via: 1.1 \u00e9'],
  ] as const) {
    it(`${what}: forwarded-request`, async () => {
      denied(await stage.send(get(kubeEnv, ...headers), { from: pods.privileged }), forwarded);
    });
  }

  it('before or behind the other headers is the same', async () => {
    const early = lines(`GET ${kubeEnv} HTTP/1.1`, 'X-Forwarded-For: 1', hostLine, flavorLine);
    denied(await stage.send(early, { from: pods.privileged }), forwarded);
  });

  it('with a space before the colon is malformed', async () => {
    const seen = await stage.send(get(kubeEnv, 'X-Forwarded-For : 1'), { from: pods.privileged });
    denied(seen, { status: 400, code: 'malformed-header' });
  });

  // A service mesh adds the first few to every request of its pods; the rest tells nothing about who asks.
  for (const header of [
    'X-Forwarded-Proto: http',
    'X-Request-Id: 1',
    'X-Envoy-Decorator-Operation: x',
    'X-B3-TraceId: 1',
    'Traceparent: 00-1-1-01',
    'X-Forwarding: 1',
    'Reforwarded: 1',
    'Cookie: X-Forwarded-For=1',
    'Authorization: Bearer x',
    'Proxy-Connection: keep-alive',
  ]) {
    it(`is served, and not passed on: ${header}`, async () => {
      const seen = await stage.send(get(harmless, header));
      served(seen, { body: 'my-project', upstream: [`${harmless}?alt=json`] });
    });
  }
});
