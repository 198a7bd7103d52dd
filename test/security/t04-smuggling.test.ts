/**
 * T04: requests whose end two servers see in different places. Each is refused whole and ends its connection; the
 * request hidden in it, or behind it, is never read.
 */
import { after, before, describe, it } from 'node:test';
import type { DenialCode } from '../../operator/core/request/denials.ts';
import { denied, served } from './assertions.ts';
import { harmless, kubeEnv, pods, Stage } from './harness.ts';
import { flavorLine, get, hostLine, lines } from './requests.ts';

type Expected = { readonly status: number; readonly code: DenialCode };

const framing: Expected = { status: 400, code: 'framing' };
const header: Expected = { status: 400, code: 'malformed-header' };
const version: Expected = { status: 400, code: 'http-version' };
const method: Expected = { status: 405, code: 'method-not-allowed' };

/** Whoever reads it as a request of its own is served a secret. */
const hidden = get(kubeEnv);
const length = `Content-Length: ${hidden.length}`;
const chunked = 'Transfer-Encoding: chunked';
const end = '0\r\n\r\n';
const chunk = `${hidden.length.toString(16)}\r\n${hidden}\r\n`;
const with_ = (...headers: readonly string[]) => get(harmless, ...headers);

const rows: readonly (readonly [what: string, bytes: string, expected: Expected])[] = [
  ['a body', with_('Content-Length: 5') + 'hello', framing],
  ['a body that looks like a request', with_(length) + hidden, framing],
  ['a body announced and not sent', with_(length), framing],
  ['a body that HEAD has', lines(`HEAD ${harmless} HTTP/1.1`, hostLine, flavorLine, length) + hidden, framing],
  ['a body that POST has', lines(`POST ${harmless} HTTP/1.1`, hostLine, flavorLine, length) + hidden, method],
  ['a body that is expected', with_('Expect: 100-continue', length) + hidden, framing],
  ['a body with an upgrade', with_('Connection: Upgrade', 'Upgrade: x', length) + hidden, framing],
  ['length, then encoding', with_('Content-Length: 4', chunked) + end + hidden, framing],
  ['encoding, then length', with_(chunked, 'Content-Length: 4') + end + hidden, framing],
  ['length 0, then encoding', with_('Content-Length: 0', chunked) + chunk + end, framing],
  ['the same length twice', with_('Content-Length: 0', 'Content-Length: 0') + hidden, framing],
  ['two lengths', with_('Content-Length: 0', length) + hidden, framing],
  ['two lengths in another case', with_('Content-Length: 0', `content-LENGTH: ${hidden.length}`) + hidden, framing],
  ['a list of one length', with_('Content-Length: 0, 0') + hidden, framing],
  ['a list of lengths', with_(`Content-Length: 0, ${hidden.length}`) + hidden, framing],
  ['a negative length', with_('Content-Length: -1') + hidden, framing],
  ['a length with a plus', with_('Content-Length: +0') + hidden, framing],
  ['a length in hex', with_('Content-Length: 0x0') + hidden, framing],
  ['a length of two zeros', with_('Content-Length: 00') + hidden, framing],
  ['a length with a point', with_('Content-Length: 0.0') + hidden, framing],
  ['a length with a space', with_('Content-Length: 0 0') + hidden, framing],
  ['an empty length', with_('Content-Length: ') + hidden, framing],
  ['a length of 2^64', with_('Content-Length: 18446744073709551616') + hidden, framing],
  ['a length of 23 digits', with_('Content-Length: 99999999999999999999999') + hidden, framing],
  ['chunks', with_(chunked) + chunk + end, framing],
  ['no chunks', with_(chunked) + end + hidden, framing],
  ['chunks with an extension', with_(chunked) + `0;a="${hidden.length}"\r\n\r\n${hidden}`, framing],
  ['a chunk size that is none', with_(chunked) + `zz\r\n\r\n${hidden}`, framing],
  ['a chunk size beyond 64 bits', with_(chunked) + `11111111111111111\r\n${hidden}`, framing],
  ['a chunk size that is negative', with_(chunked) + `-1\r\n${hidden}`, framing],
  ['a chunk size with a bare line feed', with_(chunked) + `0\n\n${hidden}`, framing],
  ['chunks and a trailer', with_(chunked, 'Trailer: Host') + `0\r\nHost: x\r\n\r\n${hidden}`, framing],
  ['a trailer announced alone', with_('Trailer: Metadata-Flavor') + hidden, framing],
  ['chunked in upper case', with_('transfer-encoding: CHUNKED') + end + hidden, framing],
  ['identity', with_('Transfer-Encoding: identity') + hidden, framing],
  ['an unknown encoding', with_('Transfer-Encoding: xchunked') + end + hidden, framing],
  ['an encoding in quotes', with_('Transfer-Encoding: "chunked"') + end + hidden, framing],
  ['an empty encoding', with_('Transfer-Encoding: ') + hidden, framing],
  ['an encoding before chunked', with_('Transfer-Encoding: gzip, chunked') + end + hidden, framing],
  ['an encoding behind chunked', with_('Transfer-Encoding: chunked, identity') + end + hidden, framing],
  ['two encodings', with_(chunked, 'Transfer-Encoding: identity') + end + hidden, framing],
  ['chunked behind a tab', with_('Transfer-Encoding:\tchunked') + end + hidden, framing],
  ['chunked behind a vertical tab', with_('Transfer-Encoding: \u000bchunked') + end + hidden, header],
  ['chunked with a NUL', with_('Transfer-Encoding: chunked\0') + end + hidden, header],
  ['a space before the colon of an encoding', with_('Transfer-Encoding : chunked') + end + hidden, header],
  ['a space before the colon of a length', with_(`Content-Length : ${hidden.length}`) + hidden, header],
  ['a space before an encoding', with_(' Transfer-Encoding: chunked') + end + hidden, header],
  ['a folded encoding', with_('Transfer-Encoding:', ' chunked') + end + hidden, header],
  ['an encoding behind a bare line feed', with_('X: a\nTransfer-Encoding: chunked') + end + hidden, header],
  ['an encoding behind a bare carriage return', with_('X: a\rTransfer-Encoding: chunked') + end + hidden, header],
  ['a folded header', with_('X: a', ' b') + hidden, header],
  ['a header folded with a tab', with_('X: a', '\tb') + hidden, header],
  ['a fold in the place of the first header', lines(`GET ${harmless} HTTP/1.1`, ` ${hostLine}`, flavorLine), header],
  ['a fold that is a request', with_('X: a', ` GET ${kubeEnv} HTTP/1.1`) + hidden, header],
  ['bare line feeds', get(harmless).replaceAll('\r\n', '\n') + hidden, version],
  ['a bare line feed behind the request line', get(harmless).replace('\r\n', '\n') + hidden, version],
  ['a bare line feed behind a header', with_('X: a\nY: b') + hidden, header],
  ['a bare line feed at the end', `${get(harmless).slice(0, -2)}\n${hidden}`, header],
  ['bare carriage returns', get(harmless).replaceAll('\r\n', '\r') + hidden, header],
  ['a bare carriage return in a header', with_('X: a\rY: b') + hidden, header],
  ['two carriage returns', with_('X: a\r') + hidden, header],
  ['a space before a colon', with_('X : a') + hidden, header],
  ['a header without a colon', with_('X') + hidden, header],
  ['a header without a name', with_(': a') + hidden, header],
  ['a name that is no token', with_('X(): a') + hidden, header],
  ['a NUL in a name', with_('X\0: a') + hidden, header],
  ['a NUL in a value', with_('X: a\0b') + hidden, header],
  ['a control byte in a value', with_('X: a\u0001b') + hidden, header],
  ['a DEL in a value', with_('X: a\u007fb') + hidden, header],
];

describe('T04 smuggling', () => {
  let stage: Stage;
  before(
    async () =>
      (stage = await Stage.start({ proxy: { limits: { headersTimeoutMs: 1_000, requestTimeoutMs: 1_000 } } })),
  );
  after(() => stage.stop());

  for (const [what, bytes, expected] of rows) {
    it(`${what}: ${expected.code}`, async () => {
      denied(await stage.send(bytes, { from: pods.privileged }), expected);
    });
  }

  it('one reply and one log line where the body is no chunk, although the parser fails after the reply', async () => {
    const late = [with_(chunked), 'zz', '\r\n', hidden];
    denied(await stage.send(late, { from: pods.privileged }), framing);
    const identity = [with_('Transfer-Encoding: identity'), hidden];
    denied(await stage.send(identity, { from: pods.privileged }), framing);
  });

  it('in pieces is the same', async () => {
    const cut = with_('Content-Length: 4', chunked);
    const pieces = [cut.slice(0, 20), cut.slice(20, -1), cut.slice(-1), end, hidden];
    denied(await stage.send(pieces, { from: pods.privileged }), framing);
    served(await stage.send([hidden.slice(0, 30), hidden.slice(30, -1), '\n'], { from: pods.privileged }), {
      body: /kubelet-key/,
      upstream: [`${kubeEnv}?alt=json`],
    });
  });

  const upstream = [`${harmless}?alt=json`];
  for (const [what, bytes] of [
    ['no length', get(harmless)],
    ['length 0', with_('Content-Length: 0')],
    ['a length with spaces around it', with_('Content-Length:  0 ')],
    ['a type without a body', with_('Content-Type: application/json')],
    ['a name that is another', with_('Content_Length: 5', 'Transfer_Encoding: chunked')],
    ['bytes above ASCII in a value', with_('X: \u00e9')],
    ['an empty value', with_('X:')],
  ] as const) {
    it(`is served, and passed on as our own: ${what}`, async () => {
      served(await stage.send(bytes, { from: pods.privileged }), { body: 'my-project', upstream });
    });
  }

  it('the hidden request alone is served, so its silence above means something', async () => {
    served(await stage.send(hidden, { from: pods.privileged }), {
      body: /kubelet-key/,
      upstream: [`${kubeEnv}?alt=json`],
    });
  });
});
