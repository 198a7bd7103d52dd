import type { Hash } from '../brand.ts';
import type { PathFilter, Permit } from '../policy/decision.ts';
import type { CanonicalRequest } from '../request/canonical.ts';
import { writeQuery } from '../request/query.ts';
import type { UnboundReason } from '../snapshot/types.ts';
import { lookup, type DirectoryNode, type MetadataNode, type ValueNode } from './node.ts';
import { documentJson, documentText, listingJson, listingText, valueText } from './render.ts';
import { visible } from './visible.ts';

export type ContentType = 'application/text' | 'application/json';

/** What the tree answers: 200 for `content`, 301 for `redirect`, a token for `dynamic`, else a denial. */
export type TreeAnswer =
  | { readonly kind: 'content'; readonly contentType: ContentType; readonly body: string; readonly etag: string }
  /** A directory asked without its slash; `location` is path and query. */
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'dynamic'; readonly leaf: 'token' | 'identity' }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'no-service-account'; readonly reason: UnboundReason }
  /** The permit was for a directory, the tree has a value there. */
  | { readonly kind: 'concealed' };

/** `GET /`: 17 bytes, with or without Metadata-Flavor. */
export const rootListing = 'computeMetadata/\n';
/** `GET /computeMetadata/`. */
const versionsListing = 'v1/\n';

export interface TreeQuestion {
  readonly tree: DirectoryNode;
  readonly request: CanonicalRequest;
  readonly permit: Permit;
  readonly filter: PathFilter;
}

/** Answers a permitted request of version `v1` or `legacy` from the tree; what `filter` conceals is not in it. */
export function answerFromTree(question: TreeQuestion, hash: Hash): TreeAnswer {
  const found = lookup(question.tree, question.permit.path);
  return found.kind === 'found' ? answerFromNode({ ...question, node: found.node }, hash) : found;
}

/** The same for a node that is at the permit's path, for example a document of the node's real server. */
export function answerFromNode(
  { node, request, permit, filter }: Omit<TreeQuestion, 'tree'> & { readonly node: MetadataNode },
  hash: Hash,
): TreeAnswer {
  if (node.kind === 'directory' && !request.trailingSlash) return redirectToDirectory(request);
  if (node.kind !== 'directory' && request.trailingSlash) return { kind: 'not-found' };
  const seen = visible(node, permit, filter);
  if (seen === undefined) return { kind: 'concealed' };
  if (seen.kind === 'dynamic') return { kind: 'dynamic', leaf: seen.leaf };
  const etag = hash(documentJson(seen)).slice(0, etagLength);
  return { ...(seen.kind === 'directory' ? directoryContent(seen, request) : valueContent(seen, request)), etag };
}

/** As long as Google's. */
const etagLength = 16;

type Content = Omit<Extract<TreeAnswer, { kind: 'content' }>, 'etag'>;

function valueContent(node: ValueNode, { query }: CanonicalRequest): Content {
  return query.alt === 'json' ? json(documentJson(node)) : plain(valueText(node.value));
}

/** Google's defaults: a document is JSON, a listing is text. */
function directoryContent(node: DirectoryNode, { query }: CanonicalRequest): Content {
  if (query.recursive === true) return query.alt === 'text' ? plain(documentText(node)) : json(documentJson(node));
  return query.alt === 'json' ? json(listingJson(node)) : plain(listingText(node));
}

function plain(body: string): Content {
  return { kind: 'content', contentType: 'application/text', body };
}

function json(body: string): Content {
  return { kind: 'content', contentType: 'application/json', body };
}

/** Keeps the query: clients ask `/instance?recursive=true` and mean the directory. */
function redirectToDirectory({ spelling, query }: CanonicalRequest): TreeAnswer {
  return { kind: 'redirect', location: `${spelling}/${writeQuery(query)}` };
}

/** Answers `root` and `versions`, which need no decision; undefined for other versions. */
export function answerOutsideTree(request: CanonicalRequest, hash: Hash): TreeAnswer | undefined {
  if (request.version !== 'root' && request.version !== 'versions') return undefined;
  if (!request.trailingSlash) return redirectToDirectory(request);
  const body = request.version === 'root' ? rootListing : versionsListing;
  return { ...plain(body), etag: hash(body).slice(0, etagLength) };
}
