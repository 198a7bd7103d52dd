/** How patterns meet paths. Concealing is generous, revealing is exact: a doubt never opens anything. */
import type { CanonicalPath } from './decision.ts';
import type { Pattern, SegmentPattern } from './pattern.ts';

/** A path as the policy engine sees it. */
export interface PolicyPath {
  readonly segments: CanonicalPath;
  /**
   * Below instance/service-accounts/: all names of the account that the third segment names, because what hides one
   * name hides the account. `any`: the node's own account, whose e-mail the proxy does not know.
   */
  readonly accounts: readonly string[] | 'any';
}

const accountLevel = 2;

/** Whether a path is instance/service-accounts or below. */
export function isServiceAccountPath(path: CanonicalPath): boolean {
  return path[0] === 'instance' && path[1] === 'service-accounts';
}

/**
 * The pattern's node or an ancestor of the path: concealing a node conceals its subtree. Compares without case, as a
 * real metadata server may.
 */
export function conceals(pattern: Pattern, path: PolicyPath): boolean {
  const { segments } = pattern;
  return segments.length <= path.segments.length && matchesLevels(segments, path, { foldCase: true });
}

/** Exactly the pattern's node; its subtree too if the pattern ends in `/**`. */
export function reveals(pattern: Pattern, path: PolicyPath): boolean {
  const { segments, subtree } = pattern;
  const depthFits = subtree ? segments.length <= path.segments.length : segments.length === path.segments.length;
  return depthFits && matchesLevels(segments, path, { foldCase: false });
}

/** A directory above what the pattern reveals: it may be listed, so that the revealed node can be found. */
export function leadsTo(pattern: Pattern, path: PolicyPath): boolean {
  const depth = path.segments.length;
  return depth < pattern.segments.length && matchesLevels(pattern.segments.slice(0, depth), path, { foldCase: false });
}

interface Comparison {
  readonly foldCase: boolean;
}

function matchesLevels(patterns: readonly SegmentPattern[], path: PolicyPath, how: Comparison): boolean {
  return patterns.every((pattern, level) =>
    level === accountLevel && isServiceAccountPath(path.segments)
      ? matchesAccount(pattern, path.accounts, how)
      : matchesSegment(pattern, path.segments[level] ?? '', how),
  );
}

function matchesAccount(pattern: SegmentPattern, accounts: PolicyPath['accounts'], how: Comparison): boolean {
  return accounts === 'any' || accounts.some((name) => matchesSegment(pattern, name, how));
}

function matchesSegment(pattern: SegmentPattern, name: string, { foldCase }: Comparison): boolean {
  if (pattern.kind === 'glob') {
    return foldCase ? matchesGlob(pattern.parts.map(lower), lower(name)) : matchesGlob(pattern.parts, name);
  }
  const { text } = pattern;
  return text === name || (foldCase && text.length === name.length && lower(text) === lower(name));
}

function lower(text: string): string {
  return text.toLowerCase();
}

/** Leftmost match of the inner parts is enough, so the cost is linear however many stars a pattern has. */
function matchesGlob(parts: readonly string[], text: string): boolean {
  const prefix = parts[0] ?? '';
  const suffix = parts.at(-1) ?? '';
  if (text.length < prefix.length + suffix.length) return false;
  if (!text.startsWith(prefix) || !text.endsWith(suffix)) return false;
  const end = text.length - suffix.length;
  let from = prefix.length;
  for (const part of parts.slice(1, -1)) {
    const at = text.indexOf(part, from);
    if (at === -1 || at + part.length > end) return false;
    from = at + part.length;
  }
  return true;
}
