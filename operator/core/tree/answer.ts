import type { Hash } from '../brand.ts';
import type { PathFilter, Permit } from '../policy/decision.ts';
import type { CanonicalRequest } from '../request/canonical.ts';
import type { UnboundReason } from '../snapshot/types.ts';
import type { DirectoryNode } from './node.ts';

export type ContentType = 'application/text' | 'application/json';

/** What the tree answers; status 200 for `content`, 301 for `redirect`, 404 for the last two but one. */
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
export const versionsListing = 'v1/\n';

export interface TreeQuestion {
  readonly tree: DirectoryNode;
  readonly request: CanonicalRequest;
  readonly permit: Permit;
  readonly filter: PathFilter;
}

/** Answers a permitted request of version `v1` or `legacy` from the tree; what `filter` conceals is not in it. */
export declare function answerFromTree(question: TreeQuestion, hash: Hash): TreeAnswer;

/** Answers `root` and `versions`, which need no decision; undefined for other versions. */
export declare function answerOutsideTree(request: CanonicalRequest, hash: Hash): TreeAnswer | undefined;
