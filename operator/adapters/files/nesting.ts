import type { CST } from 'yaml';

type Token = CST.Token;

/**
 * The offset at which tokens are nested deeper than `limit` collections, undefined if none is. Composing recurses, so
 * this runs before it, with a stack of its own.
 */
export function tooDeepAt(tokens: readonly Token[], limit: number): number | undefined {
  const open: { readonly token: Token; readonly depth: number }[] = tokens.map((token) => ({ token, depth: 0 }));
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { token, depth } = next;
    if (depth > limit) return token.offset;
    for (const child of childrenOf(token)) open.push({ token: child, depth: depth + 1 });
  }
  return undefined;
}

function childrenOf(token: Token): readonly Token[] {
  if (token.type === 'document') return token.value ? [token.value] : [];
  if (!('items' in token)) return [];
  return token.items.flatMap((item) => [item.key, item.value].filter((part) => part !== undefined && part !== null));
}
