import type { AcceptedHosts, CanonicalRequest, ParsedRequest, RawRequest, Rejection } from './canonical.ts';
import { checkForwarding, checkFraming, checkMetadataFlavor, readHeaders, type Headers } from './headers.ts';
import { metadataHosts, readHost } from './host.ts';
import { readQuery } from './query.ts';
import { reject } from './rejection.ts';
import { readTarget, type Target } from './target.ts';
import { route } from './version.ts';

/**
 * The only parse of what a pod sends. Never throws. `hosts` defaults to the metadata addresses and `cluster.local`.
 */
export function parseRequest(raw: RawRequest, hosts: AcceptedHosts = metadataHosts): ParsedRequest {
  const read = readHeaders(raw.rawHeaders);
  if (read.kind === 'rejected') return read;
  const { headers } = read;
  const refused = checkLine(raw) ?? checkFraming(headers);
  if (refused !== undefined) return rejected(refused);
  const host = readHost(headers, hosts);
  if (host.kind === 'rejected') return host;
  const forwarded = checkForwarding(headers);
  if (forwarded !== undefined) return rejected(forwarded);
  const target = readTarget(raw.target);
  if (target.kind === 'rejected') return target;
  return parseTarget(target.target, headers, { method: raw.method === 'HEAD' ? 'HEAD' : 'GET', host: host.host });
}

function checkLine(raw: RawRequest): Rejection | undefined {
  if (raw.httpVersion !== '1.1') return reject('http-version', 'not HTTP/1.1');
  if (raw.method !== 'GET' && raw.method !== 'HEAD') return reject('method-not-allowed', 'method is not GET or HEAD');
  return undefined;
}

function parseTarget(target: Target, headers: Headers, line: Pick<CanonicalRequest, 'method' | 'host'>): ParsedRequest {
  const routed = route(target.segments);
  if (needsMetadataFlavor(routed)) {
    const missing = checkMetadataFlavor(headers);
    if (missing !== undefined) return rejected(missing);
  }
  if (routed.kind === 'unknown') return rejected(reject('not-found', 'no such API'));
  const query = readQuery(target.queryText);
  if (query.kind === 'rejected') return query;
  const { version, path } = routed;
  const { trailingSlash, spelling } = target;
  return { kind: 'request', request: { ...line, version, path, trailingSlash, query: query.query, spelling } };
}

/** Clients detect Google by `/` without the header, and a legacy path gets its own refusal with or without it. */
function needsMetadataFlavor(routed: ReturnType<typeof route>): boolean {
  return routed.kind === 'unknown' || (routed.version !== 'root' && routed.version !== 'legacy');
}

function rejected(rejection: Rejection): ParsedRequest {
  return { kind: 'rejected', rejection };
}
