import type { Rejection } from './canonical.ts';
import { deny, type DenialCode } from './denials.ts';

/** `detail` goes to the log, so it is fixed text and never a part of the request. */
export function reject(code: DenialCode, detail: string): Rejection {
  return { denial: deny(code), detail };
}
