/** The metadata tree as data: emulated values, or an upstream document after its concealed nodes were removed. */
import type { UnboundReason } from '../snapshot/types.ts';

/** Google's ids exceed 2^53, so numbers stay decimal text. */
export type MetadataValue =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'number'; readonly digits: string }
  | { readonly kind: 'list'; readonly items: readonly string[] };

export interface ValueNode {
  readonly kind: 'value';
  readonly value: MetadataValue;
}

/** Made when asked for, and in no document: a token or an identity token. */
export interface DynamicNode {
  readonly kind: 'dynamic';
  readonly leaf: 'token' | 'identity';
}

export interface DirectoryNode {
  readonly kind: 'directory';
  readonly children: ReadonlyMap<string, MetadataNode>;
  /** How recursive documents spell the children: `camelCase` (project-id → projectId) or `verbatim` (attributes). */
  readonly keys: 'camelCase' | 'verbatim';
  /** Set on service-accounts/ of a workload without identity: all below is 404 with advice. */
  readonly unbound?: UnboundReason;
}

export type MetadataNode = DirectoryNode | ValueNode | DynamicNode;

export type Lookup =
  | { readonly kind: 'found'; readonly node: MetadataNode }
  | { readonly kind: 'no-service-account'; readonly reason: UnboundReason }
  | { readonly kind: 'not-found' };
