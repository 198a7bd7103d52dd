/** Documents of the node's real metadata server, read into the same tree that emulated values live in. */
import type { CanonicalPath, PathFilter, ServiceAccountSource } from '../policy/decision.ts';
import { serviceAccountsTree } from './emulated.ts';
import { isSpellable, type DirectoryNode, type MetadataNode, type MetadataValue } from './node.ts';
import { camelCase, kebabCase } from './render.ts';

const maxDepth = 16;

/** A number as the server wrote it: parsed to a double, an instance id would change. */
class SourceNumber {
  readonly digits: string;

  constructor(digits: string) {
    this.digits = digits;
  }
}

/** Reads the reply to `path/?recursive=true&alt=json`. Undefined: not JSON, or nothing in it has a known form. */
export function readDocument(json: string, path: CanonicalPath): MetadataNode | undefined {
  const keepDigits = (_key: string, value: unknown, context: { readonly source?: string }) =>
    typeof value === 'number' ? new SourceNumber(context.source ?? String(value)) : value;
  try {
    return readNode(JSON.parse(json, keepDigits as (key: string, value: unknown) => unknown), path);
  } catch {
    return undefined;
  }
}

function readNode(value: unknown, path: CanonicalPath): MetadataNode | undefined {
  if (path.length > maxDepth) return undefined;
  if (Array.isArray(value)) return readArray(value, path);
  if (value instanceof SourceNumber) return leaf({ kind: 'number', digits: value.digits });
  if (typeof value === 'object' && value !== null) return readObject(value, path);
  if (typeof value === 'string') return leaf({ kind: 'text', text: value });
  return typeof value === 'boolean' ? leaf({ kind: 'boolean', flag: value }) : undefined;
}

function leaf(value: MetadataValue): MetadataNode {
  return { kind: 'value', value };
}

function readArray(items: readonly unknown[], path: CanonicalPath): MetadataNode {
  if (items.every((item) => typeof item === 'string')) return leaf({ kind: 'list', items });
  return readChildren(
    items.map((item, index) => [String(index), item]),
    path,
    'array',
  );
}

function readObject(value: object, path: CanonicalPath): DirectoryNode {
  const form = keysBelow(path);
  const named = Object.entries(value).flatMap(([key, child]: [string, unknown]) => {
    const name = form === 'camelCase' ? kebabCase(key) : key;
    return isCertain(key, form) ? [[name, child] as const] : [];
  });
  return readChildren(named, path, form === 'camelCase' ? form : 'verbatim');
}

function readChildren(
  entries: readonly (readonly [string, unknown])[],
  path: CanonicalPath,
  keys: DirectoryNode['keys'],
): DirectoryNode {
  const children = new Map<string, MetadataNode>();
  for (const [name, value] of entries) {
    const child = readNode(value, [...path, name]);
    if (child !== undefined) children.set(name, child);
  }
  return { kind: 'directory', children, keys };
}

const directoriesWithCustomNames = new Set([
  'attributes',
  'guest-attributes',
  'partner-attributes',
  'service-accounts',
]);

/** How a document writes the names in a directory; `either`: nobody says which of the two it is there. */
type KeyForm = 'verbatim' | 'camelCase' | 'either';

/** In these a customer or partner chose the names, for guest-attributes on two levels. */
function keysBelow(path: CanonicalPath): KeyForm {
  const directory = path[1] ?? '';
  if (!directoriesWithCustomNames.has(directory)) return 'camelCase';
  if (path.length === 2 || directory === 'guest-attributes') return 'verbatim';
  return directory === 'partner-attributes' ? 'either' : 'camelCase';
}

/** Only a key whose path is certain is kept: policies decide on paths. */
function isCertain(key: string, form: KeyForm): boolean {
  if (form === 'camelCase') return /^[a-z][A-Za-z0-9]*$/.test(key) && camelCase(kebabCase(key)) === key;
  return isSpellable(key) && (form === 'verbatim' || kebabCase(key) === key);
}

/**
 * The document with the workload's account instead of the node's, unless the node's is the workload's. `path` is the
 * document's own; below service-accounts/ nothing is asked upstream, so nothing is replaced there.
 */
export function withAccount(node: MetadataNode, path: CanonicalPath, account: ServiceAccountSource): MetadataNode {
  const way = ['instance', 'service-accounts'];
  if (account.kind === 'node' || path.some((segment, level) => segment !== way[level])) return node;
  return graft(node, way.slice(path.length), serviceAccountsTree(account));
}

function graft(node: MetadataNode, way: CanonicalPath, replacement: DirectoryNode): MetadataNode {
  const [name, ...rest] = way;
  if (name === undefined) return replacement;
  if (node.kind !== 'directory') return node;
  const child = node.children.get(name);
  if (child === undefined && rest.length > 0) return node;
  const children = new Map(node.children).set(
    name,
    child === undefined ? replacement : graft(child, rest, replacement),
  );
  return { ...node, children };
}

/** A text listing of the real server without concealed entries. An entry that is no plain name is left out. */
export function visibleListing(listing: string, path: CanonicalPath, filter: PathFilter): string {
  const lines = listing.split('\n').filter((line) => isVisibleEntry(line, path, filter));
  return lines.map((line) => `${line}\n`).join('');
}

function isVisibleEntry(line: string, path: CanonicalPath, filter: PathFilter): boolean {
  const name = line.endsWith('/') ? line.slice(0, -1) : line;
  if (!isSpellable(name)) return false;
  const decision = filter([...path, name]);
  return decision.kind === 'reveal' && (line.endsWith('/') || decision.permit.extent === 'node');
}
