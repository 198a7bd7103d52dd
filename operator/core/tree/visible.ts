import type { CanonicalPath, Decision, PathFilter, Permit } from '../policy/decision.ts';
import type { DirectoryNode, MetadataNode, MetadataValue } from './node.ts';

/**
 * The node without all that `filter` conceals, or undefined if nothing of it may be seen. The permit is the one for
 * the node's own path; every node below is asked for by itself, so a concealed one is in no document of any ancestor.
 */
export function visible(node: MetadataNode, permit: Permit, filter: PathFilter): MetadataNode | undefined {
  if (node.kind === 'directory') return withoutConcealed(node, permit.path, filter);
  if (permit.extent === 'directory') return undefined;
  if (node.kind === 'dynamic' || node.value.kind !== 'list') return node;
  return { kind: 'value', value: withoutConcealedItems(node.value, permit.path, filter) };
}

function withoutConcealed(node: DirectoryNode, path: CanonicalPath, filter: PathFilter): DirectoryNode {
  const children = new Map<string, MetadataNode>();
  for (const [name, child] of node.children) {
    const decision = filter([...path, name]);
    const seen = decision.kind === 'reveal' ? visible(child, decision.permit, filter) : undefined;
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
