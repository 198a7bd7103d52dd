/** T02: forms of the request line and its target that other servers take for a path. Only `GET /path HTTP/1.1` is one. */
import { after, before, describe, it } from 'node:test';
import type { DenialCode } from '../../operator/core/request/denials.ts';
import { denied, refused, served } from './assertions.ts';
import { harmless, kubeEnv, pods, Stage } from './harness.ts';
import { flavorLine, get, hostLine, lines } from './requests.ts';

type Expected = { readonly status: number; readonly code: DenialCode };

const form: Expected = { status: 400, code: 'target-form' };
const path: Expected = { status: 400, code: 'malformed-path' };
const version: Expected = { status: 400, code: 'http-version' };
const method: Expected = { status: 405, code: 'method-not-allowed' };
const upgrade: Expected = { status: 400, code: 'upgrade-refused' };

/** An honest request but for its first line. */
const first = (line: string, ...headers: readonly string[]) => lines(line, hostLine, flavorLine, ...headers);

const bytesOf = (text: string) => Array.from({ length: text.length }, (_, index) => text.charAt(index));

const rows: readonly (readonly [what: string, bytes: string, expected: Expected])[] = [
  ['absolute', get(`http://metadata.google.internal${harmless}`), form],
  ['absolute, upper case', get(`HTTP://METADATA.GOOGLE.INTERNAL${harmless}`), form],
  ['absolute with a port', get(`http://metadata.google.internal:80${harmless}`), form],
  ['absolute with user and password', get(`http://a:b@metadata.google.internal${harmless}`), form],
  ['absolute with our name as the user', get(`http://metadata.google.internal@evil.example${harmless}`), form],
  ['absolute https', get(`https://metadata.google.internal${harmless}`), form],
  ['absolute ftp', get(`ftp://metadata.google.internal${harmless}`), form],
  ['absolute of another host', get(`http://evil.example${harmless}`), form],
  ['absolute without a path', get('http://metadata.google.internal'), form],
  ['absolute, HEAD', first(`HEAD http://metadata.google.internal${harmless} HTTP/1.1`), form],
  ['opaque', get(`http:${harmless}`), path],
  ['opaque without a slash', get('http:computeMetadata/v1/project/project-id'), path],
  ['absolute with one slash', get(`http:/metadata.google.internal${harmless}`), path],
  ['authority', get('metadata.google.internal:80'), path],
  ['a path without its slash', get(harmless.slice(1)), path],
  ['a query alone', get('?recursive=true'), path],
  ['a backslash first', get(`\\${harmless.slice(1)}`), path],
  ['a fragment', get(`${harmless}#x`), path],
  ['a star', get('*'), form],
  ['a star as the path', get('/*'), path],
  ['OPTIONS *', first('OPTIONS * HTTP/1.1'), method],
  ['OPTIONS', first(`OPTIONS ${harmless} HTTP/1.1`), method],
  ['CONNECT', first('CONNECT metadata.google.internal:80 HTTP/1.1'), method],
  ['CONNECT to the real server', first('CONNECT 127.0.0.1:80 HTTP/1.1'), method],
  ['CONNECT with a path', first(`CONNECT ${harmless} HTTP/1.1`), method],
  ['TRACE', first(`TRACE ${harmless} HTTP/1.1`), method],
  ['POST', first(`POST ${harmless} HTTP/1.1`, 'Content-Length: 0'), method],
  ['PUT', first(`PUT ${harmless} HTTP/1.1`, 'Content-Length: 0'), method],
  ['PATCH', first(`PATCH ${harmless} HTTP/1.1`), method],
  ['DELETE', first(`DELETE ${harmless} HTTP/1.1`), method],
  ['QUERY', first(`QUERY ${harmless} HTTP/1.1`), method],
  ['M-SEARCH', first(`M-SEARCH ${harmless} HTTP/1.1`), method],
  ['SOURCE of another protocol', first(`SOURCE ${harmless} ICE/1.1`), method],
  ['get in lower case', first(`get ${harmless} HTTP/1.1`), method],
  ['a method that begins like GET', first(`GETX ${harmless} HTTP/1.1`), method],
  ['a method that ends too soon', first(`GE ${harmless} HTTP/1.1`), method],
  ['a space before the method', first(` GET ${harmless} HTTP/1.1`), method],
  ['a tab behind the method', first(`GET\t${harmless} HTTP/1.1`), method],
  ['a byte order mark', `\u00ef\u00bb\u00bf${get(harmless)}`, method],
  ['a tab before the version', first(`GET ${harmless}\tHTTP/1.1`), path],
  ['no target', first('GET HTTP/1.1'), path],
  ['an empty target', first('GET  HTTP/1.1'), path],
  ['two targets', first(`GET ${harmless} ${kubeEnv} HTTP/1.1`), version],
  ['HTTP/1.0', first(`GET ${harmless} HTTP/1.0`), version],
  ['HTTP/1.0 kept alive', first(`GET ${harmless} HTTP/1.0`, 'Connection: keep-alive'), version],
  ['HTTP/0.9 with headers', first(`GET ${harmless}`), version],
  ['HTTP/1.2', first(`GET ${harmless} HTTP/1.2`), version],
  ['HTTP/2.0', first(`GET ${harmless} HTTP/2.0`), version],
  ['HTTP/3.0', first(`GET ${harmless} HTTP/3.0`), version],
  ['HTTP/11', first(`GET ${harmless} HTTP/11`), version],
  ['HTTP/01.1', first(`GET ${harmless} HTTP/01.1`), version],
  ['HTTP/1.1x', first(`GET ${harmless} HTTP/1.1x`), version],
  ['HTTP/1.1 and a space', first(`GET ${harmless} HTTP/1.1 `), version],
  ['http/1.1 in lower case', first(`GET ${harmless} http/1.1`), version],
  ['HTTPS/1.1', first(`GET ${harmless} HTTPS/1.1`), version],
  ['RTSP/1.0', first(`GET ${harmless} RTSP/1.0`), version],
  ['HTTP/2 by prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0', version],
  [
    'an upgrade to h2c',
    get(harmless, 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'),
    upgrade,
  ],
  ['an upgrade to h2c without settings', get(harmless, 'Connection: Upgrade', 'Upgrade: h2c'), upgrade],
  ['an upgrade that Connection does not name', get(harmless, 'Upgrade: h2c'), upgrade],
  ['settings of h2c alone', get(harmless, 'HTTP2-Settings: AAMAAABkAAQAAP__'), upgrade],
  [
    'an upgrade to WebSocket',
    get(harmless, 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: x', 'Sec-WebSocket-Version: 13'),
    upgrade,
  ],
  ['a TLS hello', `\u0016\u0003\u0001\u0002\0\u0001\0\u0001\u00fc\u0003\u0003${'a'.repeat(32)}`, method],
  ['SSH', 'SSH-2.0-OpenSSH_9.9\r\n', method],
  ['the PROXY protocol', `PROXY TCP4 ${pods.privileged} 127.0.0.1 1 80\r\n${get(kubeEnv)}`, method],
  [
    'the PROXY protocol in binary',
    `\r\n\r\n\0\r\nQUIT\n!\u0011\0\u000c\u007f\0\0\u0005\u007f\0\0\u0001\0\u0001\0P${get(kubeEnv)}`,
    method,
  ],
];

describe('T02 request-target forms', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start({ proxy: { limits: { headersTimeoutMs: 500 } } })));
  after(() => stage.stop());

  for (const [what, bytes, expected] of rows) {
    it(`${what}: ${expected.code}`, async () => {
      const reply = denied(await stage.send(bytes, { from: pods.privileged }), expected);
      if (expected !== method) return;
      const { headers } = reply;
      if (headers.get('allow') !== 'GET, HEAD') throw new Error(`Allow: ${headers.get('allow') ?? ''}`);
    });
  }

  it('HTTP/0.9, which has no end, is not answered at all', async () => {
    refused(await stage.send(`GET ${kubeEnv}\r\n`, { from: pods.privileged, replies: 0 }), 'ERR_HTTP_REQUEST_TIMEOUT');
  });

  it('a first line cut into single bytes is the same line', async () => {
    const pieces = [...bytesOf(`GET http://metadata${harmless} HTTP/1.1\r\n`), lines(hostLine, flavorLine)];
    denied(await stage.send(pieces, { from: pods.privileged, pauseMs: 0 }), form);
    const honest = [...bytesOf(`GET ${harmless} HTTP/1.1\r\n`), lines(hostLine, flavorLine)];
    served(await stage.send(honest, { pauseMs: 0 }), { body: 'my-project', upstream: [`${harmless}?alt=json`] });
  });

  const upstream = [`${harmless}?alt=json`];
  for (const [what, bytes, body] of [
    ['origin form', get(harmless), 'my-project'],
    ['HEAD', first(`HEAD ${harmless} HTTP/1.1`), ''],
    ['an empty query', get(`${harmless}?`), 'my-project'],
    // A server is to skip them (RFC 9112, 2.2).
    ['empty lines before it', `\r\n\r\n${get(harmless)}`, 'my-project'],
    ['a method in a header, which is not looked at', get(harmless, 'X-HTTP-Method-Override: DELETE'), 'my-project'],
    ['an expectation, which needs no answer', get(harmless, 'Expect: 100-continue'), 'my-project'],
    // The parser does not tell; the meaning is the same.
    ['RTSP/1.1 for HTTP/1.1', first(`GET ${harmless} RTSP/1.1`), 'my-project'],
  ] as const) {
    it(`is served: ${what}`, async () => {
      served(await stage.send(bytes), { body, upstream });
    });
  }
});
