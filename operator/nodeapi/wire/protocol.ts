/**
 * Versions of the protocol. Rule: proxy N works with controller N±1. Within one version only optional fields, frame
 * types and resource kinds are added; a receiver ignores unknown fields and frames, and NACKs unknown resource kinds,
 * because acknowledging what one does not understand would be a lie.
 */

/** Versions that one side speaks, both ends included. */
export interface ProtocolRange {
  readonly min: number;
  readonly max: number;
}

export const supportedProtocols: ProtocolRange = { min: 1, max: 1 };

/** Request: the range (`1-2`). Reply: the version that was chosen (`1`). */
export const protocolHeader = 'metaveil-protocol';

/** The newest version that both speak. */
export function negotiate(ours: ProtocolRange, theirs: ProtocolRange): number | undefined {
  const newest = Math.min(ours.max, theirs.max);
  return newest >= Math.max(ours.min, theirs.min) ? newest : undefined;
}

export function formatRange(range: ProtocolRange): string {
  return `${range.min}-${range.max}`;
}

export function parseRange(header: string | undefined): ProtocolRange | undefined {
  const [, min, max] = /^([0-9]{1,4})-([0-9]{1,4})$/u.exec(header ?? '') ?? [];
  return min === undefined || max === undefined ? undefined : { min: Number(min), max: Number(max) };
}

/** Sizes that both sides hold to. */
export const wireLimits = {
  /** One frame of the watch, in bytes; a node with 500 pods needs about 500 KiB. */
  frameBytes: 8 * 1024 * 1024,
  /** A reply to any other method, in bytes. */
  replyBytes: 64 * 1024,
  resources: 10_000,
  nacks: 1024,
  counts: 4096,
  legacyCounts: 512,
  /** A token, in characters; Google's stay below 4096. */
  tokenLength: 16_384,
  /** What is left of a token's life, in ms; Google's live for 12 h at most. */
  tokenLifetimeMs: 24 * 3_600_000,
} as const;
