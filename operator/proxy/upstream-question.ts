/** What is asked of the node's real metadata server: rebuilt from a permit, never copied from a request. */
import type { CanonicalPath, Permit } from '../core/policy/decision.ts';
import type { CanonicalQuery, CanonicalRequest } from '../core/request/canonical.ts';
import { writeQuery } from '../core/request/query.ts';
import { isSpellable } from '../core/tree/node.ts';

/**
 * `value`: a leaf, as JSON. `listing`: the entries of a directory, as text. `document`: a directory with all below, as
 * JSON. `token` and `identity`: the node's own, made when asked for.
 */
export type UpstreamForm = 'value' | 'listing' | 'document' | 'token' | 'identity';

export interface UpstreamQuestion {
  readonly kind: 'ask';
  readonly form: UpstreamForm;
  readonly target: string;
}

export type UpstreamPlan =
  | UpstreamQuestion
  /** A directory without its slash: answered without asking. */
  | { readonly kind: 'redirect' }
  /** Nothing of the node: never asked for. */
  | { readonly kind: 'nothing' };

/**
 * What a permit lets be asked. One for a listing of what is revealed below does not let the value at its path be
 * fetched, not even to learn that there is one. A legacy request asks for the v1 path that has the same value.
 */
export function planUpstream(permit: Permit, request: CanonicalRequest): UpstreamPlan {
  if (permit.origin !== 'node' || !permit.path.every(isSpellable)) return { kind: 'nothing' };
  const place = ['/computeMetadata/v1', ...permit.path].join('/');
  if (request.trailingSlash) return askDirectory(place, request.query);
  if (permit.extent !== 'node' || permit.path.length === 0) return { kind: 'redirect' };
  const credential = credentialAt(permit.path);
  if (credential === undefined) return { kind: 'ask', form: 'value', target: `${place}?alt=json` };
  const query = writeQuery(credentialQuery(credential, request.query));
  return { kind: 'ask', form: credential, target: `${place}${query}` };
}

function askDirectory(place: string, { recursive }: CanonicalQuery): UpstreamQuestion {
  if (recursive !== true) return { kind: 'ask', form: 'listing', target: `${place}/` };
  return { kind: 'ask', form: 'document', target: `${place}/?recursive=true&alt=json` };
}

/** The same question, to be answered when the answer is no longer the one with this ETag. */
export function waitTarget({ target }: UpstreamQuestion, etag: string, timeoutSec: number): string {
  const wait = writeQuery({ waitForChange: true, lastEtag: etag, timeoutSec }).slice(1);
  return `${target}${target.includes('?') ? '&' : '?'}${wait}`;
}

function credentialAt([top, directory, , leaf, ...below]: CanonicalPath): 'token' | 'identity' | undefined {
  if (top !== 'instance' || directory !== 'service-accounts' || below.length > 0) return undefined;
  return leaf === 'token' || leaf === 'identity' ? leaf : undefined;
}

function credentialQuery(credential: 'token' | 'identity', query: CanonicalQuery): CanonicalQuery {
  if (credential === 'token') return query.scopes === undefined ? {} : { scopes: query.scopes };
  const { audience, format, licenses } = query;
  return {
    ...(audience !== undefined && { audience }),
    ...(format !== undefined && { format }),
    ...(licenses !== undefined && { licenses }),
  };
}
