import type { CanonicalPath, Decision, PathFilter } from '../policy/decision.ts';
import type { DirectoryNode, MetadataNode, MetadataValue } from './node.ts';

/**
 * The node without all that `filter` conceals, or undefined if nothing of it may be seen. `path` is the node's own.
 * Every node is asked for by itself, so a concealed one is in no document of any ancestor.
 */
export function visible(node: MetadataNode, path: CanonicalPath, filter: PathFilter): MetadataNode | undefined {
  const decision = filter(path);
  if (decision.kind === 'conceal') return undefined;
  if (node.kind === 'directory') return withoutConcealed(node, path, filter);
  if (decision.permit.extent === 'directory') return undefined;
  if (node.kind === 'dynamic' || node.value.kind !== 'list') return node;
  return { kind: 'value', value: withoutConcealedItems(node.value, path, filter) };
}

function withoutConcealed(node: DirectoryNode, path: CanonicalPath, filter: PathFilter): DirectoryNode {
  const children = new Map<string, MetadataNode>();
  for (const [name, child] of node.children) {
    const seen = visible(child, [...path, name], filter);
    if (seen !== undefined) children.set(name, seen);
  }
  return { ...node, children };
}

type ListValue = Extract<MetadataValue, { kind: 'list' }>;

/** A real server also serves each item under its index, so a policy can name one. */
function withoutConcealedItems(value: ListValue, path: CanonicalPath, filter: PathFilter): ListValue {
  const items = value.items.filter((_item, index) => !isHiddenByPolicy(filter([...path, String(index)])));
  return { kind: 'list', items };
}

function isHiddenByPolicy(decision: Decision): boolean {
  return decision.kind === 'conceal' && decision.reason === 'policy';
}
