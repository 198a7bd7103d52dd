import type { Rejection } from './canonical.ts';
import { requestLimits } from './limits.ts';
import { reject } from './rejection.ts';

/** Values by lower-case name, every occurrence kept: which of two a server would pick is never our guess. */
export type Headers = ReadonlyMap<string, readonly string[]>;

export type ReadHeaders =
  { readonly kind: 'read'; readonly headers: Headers } | { readonly kind: 'rejected'; readonly rejection: Rejection };

const tokenName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// eslint-disable-next-line no-control-regex -- control bytes are what this looks for
const controlByte = /[\x00-\x08\x0a-\x1f\x7f]/;

/** Groups the raw pairs, bounded in count and size. */
export function readHeaders(rawHeaders: readonly string[]): ReadHeaders {
  if (rawHeaders.length > requestLimits.headers * 2) return rejected('headers-too-large', 'more than 64 headers');
  const headers = new Map<string, string[]>();
  let bytes = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    const value = rawHeaders[index + 1] ?? '';
    bytes += name.length + value.length;
    if (!tokenName.test(name) || controlByte.test(value)) return rejected('malformed-header', 'name or control byte');
    const key = name.toLowerCase();
    const values = headers.get(key);
    if (values === undefined) headers.set(key, [value]);
    else values.push(value);
  }
  if (bytes > requestLimits.headerBytes) return rejected('headers-too-large', 'headers above 8 KiB');
  return { kind: 'read', headers };
}

function rejected(code: 'headers-too-large' | 'malformed-header', detail: string): ReadHeaders {
  return { kind: 'rejected', rejection: reject(code, detail) };
}

/**
 * A metadata request ends with its headers. Anything that could make two parsers disagree on where it ends is
 * refused, and so is an upgrade, after which the bytes would have another meaning.
 */
export function checkFraming(headers: Headers): Rejection | undefined {
  if (headers.has('transfer-encoding')) return reject('framing', 'Transfer-Encoding present');
  if (headers.has('trailer')) return reject('framing', 'Trailer present');
  const lengths = headers.get('content-length') ?? ['0'];
  if (lengths.length > 1) return reject('framing', 'Content-Length given more than once');
  if (lengths[0] !== '0') return reject('framing', 'request with a body');
  if (headers.has('upgrade') || headers.has('http2-settings')) return reject('upgrade-refused', 'Upgrade present');
  return undefined;
}

/**
 * Headers that say "on behalf of somebody else". `X-Forwarded-Proto` is not among them: service meshes add it to
 * every outgoing request of a pod.
 */
const forwardingHeaders = new Set([
  'forwarded',
  'forwarded-for',
  'x-original-forwarded-for',
  'x-original-host',
  'x-original-url',
  'x-originating-ip',
  'x-rewrite-url',
  'x-real-ip',
  'x-remote-ip',
  'x-remote-addr',
  'x-client-ip',
  'x-cluster-client-ip',
  'client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'fastly-client-ip',
  'via',
]);

/** Refuses what was sent on by a proxy, also where an underscore stands for the hyphen as in CGI. */
export function checkForwarding(headers: Headers): Rejection | undefined {
  for (const name of headers.keys()) {
    const hyphenated = name.includes('_') ? name.replaceAll('_', '-') : name;
    if (isForwarding(hyphenated)) return reject('forwarded-request', 'forwarding header');
  }
  return undefined;
}

function isForwarding(name: string): boolean {
  return name.startsWith('x-forwarded') ? name !== 'x-forwarded-proto' : forwardingHeaders.has(name);
}

/** A page in a browser or a naive SSRF cannot set this header; so exactly once, exactly this value. */
export function checkMetadataFlavor(headers: Headers): Rejection | undefined {
  const values = headers.get('metadata-flavor');
  if (values === undefined) return reject('missing-metadata-flavor', 'Metadata-Flavor absent');
  if (values.length > 1) return reject('missing-metadata-flavor', 'Metadata-Flavor given more than once');
  if (values[0] !== 'Google') return reject('missing-metadata-flavor', 'Metadata-Flavor has another value');
  return undefined;
}
