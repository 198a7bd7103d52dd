/** A metadata request after its only parse: what is authorised here is what is routed. */
import type { CanonicalPath } from '../policy/decision.ts';
import type { IdentityTokenFormat } from '../token/types.ts';
import type { Denial } from './denials.ts';

/** A request as node:http received it, before anybody interpreted it. */
export interface RawRequest {
  readonly method: string;
  /** The request target as sent (`req.url`): latin1 text. */
  readonly target: string;
  /** For example `1.1`. */
  readonly httpVersion: string;
  /** Names and values in turn (`req.rawHeaders`). */
  readonly rawHeaders: readonly string[];
}

/** Whether two requests are the same in everything that parsing looks at, so that both mean the same. */
export function isSameRequest(one: RawRequest, other: RawRequest): boolean {
  if (one.target !== other.target || one.method !== other.method || one.httpVersion !== other.httpVersion) return false;
  const { rawHeaders } = one;
  if (rawHeaders.length !== other.rawHeaders.length) return false;
  for (let index = 0; index < rawHeaders.length; index += 1) {
    if (rawHeaders[index] !== other.rawHeaders[index]) return false;
  }
  return true;
}

/** Under which names the server answers; all else could be a rebound DNS name. */
export interface AcceptedHosts {
  /** IP addresses, IPv6 without brackets; any port. */
  readonly addresses: readonly string[];
  /** For example `cluster.local`: resolvers append it to `metadata`. */
  readonly clusterDomain: string;
}

/** The closed list of query keys, decoded once. A key that is absent here was not sent. */
export interface CanonicalQuery {
  readonly recursive?: boolean;
  readonly alt?: 'json' | 'text';
  readonly waitForChange?: boolean;
  readonly lastEtag?: string;
  readonly timeoutSec?: number;
  /** Sorted, without duplicates. */
  readonly scopes?: readonly string[];
  /** May be empty: only the identity endpoint requires a value. */
  readonly audience?: string;
  readonly format?: IdentityTokenFormat;
  readonly licenses?: boolean;
}

/**
 * `root`: `/`. `versions`: `/computeMetadata`. `v1`: the tree. `legacy`: a `0.1` or `v1beta1` path; `path` is then the
 * v1 path that has the same value.
 */
export type RequestVersion = 'root' | 'versions' | 'v1' | 'legacy';

export interface CanonicalRequest {
  readonly method: 'GET' | 'HEAD';
  readonly version: RequestVersion;
  /** Below /computeMetadata/v1/; empty for that directory itself, for `root` and for `versions`. */
  readonly path: CanonicalPath;
  readonly trailingSlash: boolean;
  readonly query: CanonicalQuery;
  /** The accepted Host header, lower case. */
  readonly host: string;
  /** The path as it was sent, without the query: printable ASCII, bounded, for denials and logs. */
  readonly spelling: string;
}

export interface Rejection {
  readonly denial: Denial;
  /** Why, for the log: fixed text, no bytes of the request. */
  readonly detail: string;
}

export type ParsedRequest =
  | { readonly kind: 'request'; readonly request: CanonicalRequest }
  | { readonly kind: 'rejected'; readonly rejection: Rejection };
