/**
 * Segment patterns of the canonical metadata tree, for example `instance/attributes/secret-*`.
 */

/** `literal` matches a segment exactly, `glob` with `*` inside the segment. */
export type SegmentPattern =
  { readonly kind: 'literal'; readonly text: string } | { readonly kind: 'glob'; readonly parts: readonly string[] };

/** A compiled pattern. `subtree`: written with a final `/**`. */
export interface Pattern {
  readonly source: string;
  readonly segments: readonly SegmentPattern[];
  readonly subtree: boolean;
}
