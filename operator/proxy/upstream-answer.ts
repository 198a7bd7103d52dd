/** What a pod gets of a reply of the node's real metadata server: read into a tree, filtered, written anew. */
import type { Hash } from '../core/brand.ts';
import type { CanonicalPath, PathFilter, Permit, ServiceAccountSource } from '../core/policy/decision.ts';
import type { CanonicalRequest } from '../core/request/canonical.ts';
import { answerFromNode, type ContentType, type TreeAnswer } from '../core/tree/answer.ts';
import { readDocument, visibleListing, withAccount } from '../core/tree/document.ts';
import { directory, list, text, type MetadataNode } from '../core/tree/node.ts';
import type { UpstreamReply } from './ports.ts';
import type { UpstreamForm } from './upstream-question.ts';

/** One permitted request, with what decides on everything below its path. */
export interface PassedRequest {
  readonly request: CanonicalRequest;
  readonly permit: Permit;
  readonly account: ServiceAccountSource;
  readonly filter: PathFilter;
}

export type UpstreamAnswer =
  | Exclude<TreeAnswer, { kind: 'dynamic' }>
  /** The node's own token or identity token. */
  | { readonly kind: 'credential'; readonly contentType: ContentType; readonly body: string }
  | { readonly kind: 'unavailable' }
  /** The server itself refuses: an improper query, or an endpoint that is switched off there. */
  | { readonly kind: 'refused'; readonly status: 400 | 403 };

type Answered = Extract<UpstreamReply, { kind: 'answered' }>;

export function answerFromUpstream(
  passed: PassedRequest,
  form: UpstreamForm,
  reply: Answered,
  hash: Hash,
): UpstreamAnswer {
  const { status } = reply;
  if (status === 200) return contentOf(passed, form, reply, hash);
  if (status === 404) return { kind: 'not-found' };
  if (status === 301 && form === 'value') return redirectToDirectory(passed, hash);
  return status === 400 || status === 403 ? { kind: 'refused', status } : { kind: 'unavailable' };
}

/** Where the server redirects to is not looked at: the way to a directory is its own path with a slash. */
export function redirectToDirectory(passed: PassedRequest, hash: Hash): UpstreamAnswer {
  return withoutDynamic(answerFromNode({ ...passed, node: directory({}) }, hash));
}

function contentOf(passed: PassedRequest, form: UpstreamForm, reply: Answered, hash: Hash): UpstreamAnswer {
  switch (form) {
    case 'token':
      return { kind: 'credential', contentType: 'application/json', body: reply.body };
    case 'identity':
      return { kind: 'credential', contentType: 'application/text', body: reply.body };
    case 'listing':
      return listingOf(passed, reply, hash);
    case 'document':
      return documentOf(passed, readDocument(reply.body, passed.permit.path), hash);
    case 'value':
      return valueOf(passed, reply, hash);
  }
}

function documentOf(passed: PassedRequest, node: MetadataNode | undefined, hash: Hash): UpstreamAnswer {
  if (node === undefined) return { kind: 'unavailable' };
  const { request, permit, account } = passed;
  // A document has no slash to be redirected to; it was asked for as one.
  const question = { ...passed, request: { ...request, trailingSlash: node.kind === 'directory' } };
  return withoutDynamic(answerFromNode({ ...question, node: withAccount(node, permit.path, account) }, hash));
}

/** A value that is structured is a document of its own; one that nothing was taken from keeps its server's ETag. */
function valueOf(passed: PassedRequest, reply: Answered, hash: Hash): UpstreamAnswer {
  const node = reply.json ? readDocument(reply.body, passed.permit.path) : textNode(reply.body);
  if (node?.kind !== 'value') return documentOf(asDocument(passed), node, hash);
  const answer = withoutDynamic(answerFromNode({ ...passed, node }, hash));
  const isWhole = answer.kind === 'content' && node.value.kind !== 'list' && reply.etag !== undefined;
  return isWhole ? { ...answer, etag: reply.etag } : answer;
}

function asDocument(passed: PassedRequest): PassedRequest {
  const { request } = passed;
  return { ...passed, request: { ...request, query: { ...request.query, recursive: true } } };
}

/** A list ends each item with a line break, so that a policy on one item finds it. */
function textNode(body: string): MetadataNode | undefined {
  return body.endsWith('\n') ? list(body.slice(0, -1).split('\n')) : text(body);
}

function listingOf({ request, permit, account, filter }: PassedRequest, reply: Answered, hash: Hash): UpstreamAnswer {
  const listing = visibleListing(withAccounts(reply.body, permit.path, account), permit.path, filter);
  const etag = hash(listing).slice(0, etagLength);
  if (request.query.alt !== 'json') return { kind: 'content', contentType: 'application/text', body: listing, etag };
  const entries = listing.split('\n').slice(0, -1);
  return { kind: 'content', contentType: 'application/json', body: JSON.stringify(entries), etag };
}

/** As long as Google's. */
const etagLength = 16;

/** A VM without an account lists no accounts, but a bound pod has one. */
function withAccounts(listing: string, path: CanonicalPath, account: ServiceAccountSource): string {
  const entry = 'service-accounts/';
  const isMissing = !listing.split('\n').includes(entry);
  return path.join('/') === 'instance' && account.kind !== 'node' && isMissing ? `${listing}${entry}\n` : listing;
}

/** Upstream values hold no place-holders for tokens; a grafted account does, but only inside a document. */
function withoutDynamic(answer: TreeAnswer): UpstreamAnswer {
  return answer.kind === 'dynamic' ? { kind: 'not-found' } : answer;
}
