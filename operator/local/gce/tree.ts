/** The values of a VM's metadata server as a tree, and the three forms in which it serves them. */

export interface Leaf {
  readonly kind: 'leaf';
  readonly text: string;
  /** The same as JSON text; raw, because instance ids exceed 2^53. */
  readonly json: string;
}

export interface Directory {
  readonly kind: 'directory';
  readonly entries: ReadonlyMap<string, TreeNode>;
  /** Keys that are the user's (attributes, accounts) stay as they are in JSON; the server's own become camelCase. */
  readonly ownKeys: boolean;
}

export type TreeNode = Leaf | Directory;

export function text(value: string): Leaf {
  return { kind: 'leaf', text: value, json: JSON.stringify(value) };
}

/** A decimal number, of any size. */
export function number(digits: string): Leaf {
  return { kind: 'leaf', text: digits, json: digits };
}

/** One entry per line in text, an array in JSON. */
export function list(values: readonly string[]): Leaf {
  return { kind: 'leaf', text: values.map((value) => `${value}\n`).join(''), json: JSON.stringify(values) };
}

export function directory(entries: Readonly<Record<string, TreeNode>>, { ownKeys = true } = {}): Directory {
  return { kind: 'directory', entries: new Map(Object.entries(entries)), ownKeys };
}

/** Values under names that users chose. */
export function attributes(values: Readonly<Record<string, string>>): Directory {
  const leaves = Object.entries(values).map(([key, value]) => [key, text(value)] as const);
  return directory(Object.fromEntries(leaves), { ownKeys: false });
}

/** `segments` without empty ones. */
export function find(root: Directory, segments: readonly string[]): TreeNode | undefined {
  return segments.reduce<TreeNode | undefined>(
    (node, segment) => (node?.kind === 'directory' ? node.entries.get(segment) : undefined),
    root,
  );
}

/** One entry per line; sub-directories end in a slash. */
export function listing({ entries }: Directory): string {
  return [...entries].map(([name, { kind }]) => `${name}${kind === 'directory' ? '/' : ''}\n`).join('');
}

/** JSON of all below. */
export function recursiveJson(node: TreeNode): string {
  if (node.kind === 'leaf') return node.json;
  const members = [...node.entries].map(([name, child]) => {
    const key = node.ownKeys ? camelCase(name) : name;
    return `${JSON.stringify(key)}:${recursiveJson(child)}`;
  });
  return `{${members.join(',')}}`;
}

/** `alt=text` of a recursive request: one line of path and value per leaf. */
export function recursiveText(node: TreeNode, path = ''): string {
  if (node.kind === 'leaf') return `${path} ${node.text.trimEnd().replaceAll('\n', '\\n')}\n`;
  return [...node.entries]
    .map(([name, child]) => recursiveText(child, path === '' ? name : `${path}/${name}`))
    .join('');
}

function camelCase(name: string): string {
  return name.replaceAll(/-(?<letter>[a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
