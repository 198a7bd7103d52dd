/**
 * Frames of the watch, one JSON object per line, from the controller to the proxy: hello first, then a snapshot or a
 * delta from the version the proxy said it has, then deltas and heartbeats, and bye when the controller ends it.
 */
import type { ContentHash } from '../../core/brand.ts';
import type { NodeSnapshot, ResourceKey, SnapshotDelta } from '../../core/snapshot/types.ts';
import { constant, decodeJson, integer, list, object, oneOf, optional, tagged, text, valid } from './decode.ts';
import type { Decoded, Decoder } from './decode.ts';
import { addressForm, refusalCodes } from './errors.ts';
import type { RefusalCode } from './errors.ts';
import { wireLimits } from './protocol.ts';
import { decodeContentHash, decodeReceivedResource, decodeResourceKey } from './resources.ts';
import type { ReceivedResource } from './resources.ts';

/** Why the controller ends a session: a refusal, or an orderly end. */
export type ByeReason = RefusalCode | 'shutting-down' | 'credential-due';

/** What the server sends. */
export type ServerFrame =
  | { readonly type: 'hello'; readonly protocol: number; readonly heartbeatMs: number }
  | ({ readonly type: 'snapshot' } & Pick<NodeSnapshot, 'version'> & { readonly resources: readonly unknown[] })
  | ({ readonly type: 'delta' } & SnapshotDelta)
  | { readonly type: 'heartbeat' }
  | { readonly type: 'bye'; readonly reason: ByeReason; readonly leader?: string };

export interface ReceivedSnapshot {
  readonly type: 'snapshot';
  readonly version: ContentHash;
  readonly resources: readonly ReceivedResource[];
}

export interface ReceivedDelta {
  readonly type: 'delta';
  readonly from: ContentHash;
  readonly to: ContentHash;
  readonly upserts: readonly ReceivedResource[];
  readonly removals: readonly ResourceKey[];
}

/** What the client understood. `unknown` is a frame of a later version and is skipped. */
export type ReceivedFrame =
  | Extract<ServerFrame, { type: 'hello' | 'heartbeat' | 'bye' }>
  | ReceivedSnapshot
  | ReceivedDelta
  | { readonly type: 'unknown' };

const resources = list(decodeReceivedResource, wireLimits.resources);
const byeReason: Decoder<ByeReason> = oneOf(...refusalCodes, 'shutting-down', 'credential-due');

const known: Decoder<ReceivedFrame> = tagged('type', {
  hello: object({
    type: constant('hello'),
    protocol: integer(1, 9999),
    heartbeatMs: integer(100, 300_000),
  }),
  snapshot: object({ type: constant('snapshot'), version: decodeContentHash, resources }),
  delta: object({
    type: constant('delta'),
    from: decodeContentHash,
    to: decodeContentHash,
    upserts: resources,
    removals: list(decodeResourceKey, wireLimits.resources),
  }),
  heartbeat: object({ type: constant('heartbeat') }),
  bye: object({
    type: constant('bye'),
    reason: byeReason,
    leader: optional(text({ max: 280, form: addressForm })),
  }),
});

const knownTypes: ReadonlySet<string> = new Set(['hello', 'snapshot', 'delta', 'heartbeat', 'bye']);
const typed = object({ type: text({ max: 64 }) });

/** One line of the stream, without its newline. */
export function decodeFrame(line: string): Decoded<ReceivedFrame> {
  return decodeJson((input) => {
    const outer = typed(input);
    if (outer.kind === 'invalid') return outer;
    return knownTypes.has(outer.value.type) ? known(input) : valid<ReceivedFrame>({ type: 'unknown' });
  }, line);
}

/** One line of the stream, with its newline. */
export function encodeFrame(frame: ServerFrame): string {
  return `${JSON.stringify(frame)}\n`;
}

/** A whole snapshot as a frame; also the format of the proxy's last-good file. */
export function snapshotFrame(snapshot: NodeSnapshot): Extract<ServerFrame, { type: 'snapshot' }> {
  return { type: 'snapshot', version: snapshot.version, resources: [...snapshot.resources.values()] };
}
