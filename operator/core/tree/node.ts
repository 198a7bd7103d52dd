/** The metadata tree as data: emulated values, or a document of the node's real server. */
import type { CanonicalPath } from '../policy/decision.ts';
import type { UnboundReason } from '../snapshot/types.ts';

/** Google's ids exceed 2^53, so numbers stay decimal text. */
export type MetadataValue =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'number'; readonly digits: string }
  | { readonly kind: 'boolean'; readonly flag: boolean }
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
  /**
   * How a recursive document writes the children: `camelCase` keys (project-id → projectId), `verbatim` keys
   * (attributes) or as an `array` (disks).
   */
  readonly keys: 'camelCase' | 'verbatim' | 'array';
  /** Set on service-accounts/ of a workload without identity: all below is 404 with advice. */
  readonly unbound?: UnboundReason;
}

export type MetadataNode = DirectoryNode | ValueNode | DynamicNode;

export type Lookup =
  | { readonly kind: 'found'; readonly node: MetadataNode }
  | { readonly kind: 'no-service-account'; readonly reason: UnboundReason }
  | { readonly kind: 'not-found' };

/** Walks down from `node`. */
export function lookup(node: MetadataNode, path: CanonicalPath): Lookup {
  let at = node;
  for (const segment of path) {
    if (at.kind !== 'directory') return { kind: 'not-found' };
    const child = at.children.get(segment);
    if (child === undefined) {
      return at.unbound === undefined ? { kind: 'not-found' } : { kind: 'no-service-account', reason: at.unbound };
    }
    at = child;
  }
  return { kind: 'found', node: at };
}

/** A directory of what is present, sorted by name as Google's server lists it. */
export function directory(
  entries: Readonly<Record<string, MetadataNode | undefined>>,
  keys: DirectoryNode['keys'] = 'camelCase',
): DirectoryNode {
  const present = Object.entries(entries).filter((entry): entry is [string, MetadataNode] => entry[1] !== undefined);
  return { kind: 'directory', children: new Map(present.sort(byName)), keys };
}

function byName([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number {
  return left < right ? -1 : 1;
}

/** Undefined in, undefined out: an absent value has no node. */
export function text(value: string | undefined): ValueNode | undefined {
  return value === undefined ? undefined : { kind: 'value', value: { kind: 'text', text: value } };
}

/** `digits` as decimal text; anything else stays text, so that a document is always valid JSON. */
export function number(digits: string | undefined): ValueNode | undefined {
  if (digits === undefined || !/^(?:0|[1-9][0-9]*)$/.test(digits)) return text(digits);
  return { kind: 'value', value: { kind: 'number', digits } };
}

export function list(items: readonly string[]): ValueNode {
  return { kind: 'value', value: { kind: 'list', items } };
}

/**
 * Whether a request could spell the name. One that none can spell could not be decided on, and might break a listing
 * or a log line, so it has no node.
 */
export function isSpellable(name: string): boolean {
  return /^[A-Za-z0-9._~@:+-]{1,256}$/.test(name) && !name.endsWith('.');
}
