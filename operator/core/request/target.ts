import type { CanonicalPath } from '../policy/decision.ts';
import type { Rejection } from './canonical.ts';
import { requestLimits } from './limits.ts';
import { reject } from './rejection.ts';

/** A request target split once. Segments are decoded: nothing decodes them again. */
export interface Target {
  readonly segments: CanonicalPath;
  readonly trailingSlash: boolean;
  /** The path as sent. */
  readonly spelling: string;
  /** Undecoded text after the first `?`, '' without one. */
  readonly queryText: string;
}

export type ReadTarget =
  { readonly kind: 'read'; readonly target: Target } | { readonly kind: 'rejected'; readonly rejection: Rejection };

const printable = /^[\x21-\x7e]*$/;
/** The only escape a client was seen to need in a path is the `@` of an account's e-mail. */
const canonicalPath = /^(?:\/(?:[A-Za-z0-9._~@:+-]|%40)+)+\/?$/;
/** Servers resolve a segment of dots, and some drop a dot at the end of a name. */
const finalDot = /\.(?:\/|$)/;

/**
 * Splits a request target. What no client sends is refused, not normalised: two parsers that normalise differently
 * are a bypass.
 */
export function readTarget(text: string): ReadTarget {
  if (text.length > requestLimits.targetBytes) return rejected('target-too-long', 'target above 4 KiB');
  if (!text.startsWith('/')) return rejected('target-form', 'target is not in origin form');
  if (!printable.test(text)) return rejected('malformed-path', 'space, control or non-ASCII byte in the target');
  if (/[\\#]/.test(text)) return rejected('malformed-path', 'backslash or fragment in the target');
  const question = text.indexOf('?');
  const path = question === -1 ? text : text.slice(0, question);
  const queryText = question === -1 ? '' : text.slice(question + 1);
  if (path.length > requestLimits.pathBytes) return rejected('target-too-long', 'path above 1 KiB');
  return readPath(path, queryText);
}

function readPath(spelling: string, queryText: string): ReadTarget {
  if (spelling === '/') return read({ segments: [], trailingSlash: true, spelling, queryText });
  if (!canonicalPath.test(spelling)) return rejected('malformed-path', 'empty segment, byte or escape in the path');
  if (finalDot.test(spelling)) return rejected('malformed-path', 'segment that ends in a dot');
  const trailingSlash = spelling.endsWith('/');
  const segments = spelling.slice(1, trailingSlash ? -1 : undefined).split('/');
  if (segments.length > requestLimits.segments) return rejected('malformed-path', 'too many segments');
  const decoded = spelling.includes('%') ? segments.map((segment) => segment.replaceAll('%40', '@')) : segments;
  return read({ segments: decoded, trailingSlash, spelling, queryText });
}

function read(target: Target): ReadTarget {
  return { kind: 'read', target };
}

function rejected(code: 'target-too-long' | 'target-form' | 'malformed-path', detail: string): ReadTarget {
  return { kind: 'rejected', rejection: reject(code, detail) };
}
