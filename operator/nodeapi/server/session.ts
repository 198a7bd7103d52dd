/**
 * One proxy's watch. It sends whatever separates what was sent from what is in force now, so a consumer that is slow
 * never makes a queue: while its buffer is full nothing is sent, and afterwards one delta covers all that happened.
 */
import type { ContentHash } from '../../core/brand.ts';
import { diffSnapshots } from '../../core/snapshot/delta.ts';
import type { NodeSnapshot } from '../../core/snapshot/types.ts';
import type { AckRequest } from '../wire/calls.ts';
import { encodeFrame, snapshotFrame } from '../wire/frames.ts';
import type { ByeReason, ServerFrame } from '../wire/frames.ts';
import { wireLimits } from '../wire/protocol.ts';
import type { ProxyCaller } from './caller.ts';
import { objectOf, objectsOf } from './programming.ts';
import type { Acknowledgement } from './programming.ts';

/** The reply of the watch; a ServerResponse is one. */
export interface FrameStream {
  /** False when the buffer is full; `drained` is called when it is not any more. */
  write(text: string): boolean;
  end(text: string): void;
  destroy(): void;
}

export interface SessionOptions {
  readonly caller: ProxyCaller;
  readonly stream: FrameStream;
  readonly protocol: number;
  readonly heartbeatMs: number;
  /** Version the proxy says it has; it need not be believed, it only saves sending the same again. */
  readonly resume: ContentHash | undefined;
  /** What the node should have now. */
  readonly current: () => NodeSnapshot | undefined;
}

/** Sent and not yet acknowledged. More are not kept: an acknowledgement of one that was dropped is ignored. */
const maxOutstanding = 16;

export type SyncOutcome = 'sent' | 'nothing-new' | 'too-large';

export class WatchSession {
  readonly caller: ProxyCaller;
  readonly #options: SessionOptions;
  #sent: NodeSnapshot | undefined;
  #outstanding: NodeSnapshot[] = [];
  /** Since when the stream takes nothing (ms since the epoch). */
  #blockedSince: number | undefined;
  /** Since when something that was sent waits to be acknowledged (ms since the epoch). */
  #unacknowledgedSince: number | undefined;

  constructor(options: SessionOptions) {
    this.caller = options.caller;
    this.#options = options;
  }

  get blockedSince(): number | undefined {
    return this.#blockedSince;
  }

  get unacknowledgedSince(): number | undefined {
    return this.#unacknowledgedSince;
  }

  hello(now: number): void {
    const { protocol, heartbeatMs } = this.#options;
    this.#write({ type: 'hello', protocol, heartbeatMs }, now);
  }

  /** Brings the proxy up to date, unless it is still busy with what it was sent. */
  sync(now: number): SyncOutcome {
    const current = this.#options.current();
    if (current === undefined || this.#blockedSince !== undefined) return 'nothing-new';
    const frame = this.#frameTo(current);
    if (frame === undefined) return 'nothing-new';
    const text = encodeFrame(frame);
    if (Buffer.byteLength(text) > wireLimits.frameBytes) return 'too-large';
    this.#sent = current;
    this.#outstanding = [...this.#outstanding, current].slice(-maxOutstanding);
    this.#unacknowledgedSince ??= now;
    this.#writeText(text, now);
    return 'sent';
  }

  drained(now: number): SyncOutcome {
    this.#blockedSince = undefined;
    return this.sync(now);
  }

  heartbeat(now: number): void {
    if (this.#blockedSince === undefined) this.#write({ type: 'heartbeat' }, now);
  }

  bye(reason: ByeReason, leader?: string): void {
    this.#options.stream.end(encodeFrame({ type: 'bye', reason, ...(leader !== undefined && { leader }) }));
  }

  cut(): void {
    this.#options.stream.destroy();
  }

  /** What the proxy has now; undefined for a version that this session did not send. */
  acknowledge({ version, nacks }: AckRequest): Acknowledgement | undefined {
    const index = this.#outstanding.findIndex((snapshot) => snapshot.version === version);
    const snapshot = this.#outstanding[index];
    if (snapshot === undefined) return undefined;
    // The acknowledged one stays: the same version is acknowledged again when readiness changes.
    this.#outstanding = this.#outstanding.slice(index);
    if (version === this.#sent?.version) this.#unacknowledgedSince = undefined;
    const rejected = nacks.flatMap(({ key, reason }) => {
      const resource = snapshot.resources.get(key)?.resource;
      const object = resource === undefined ? undefined : objectOf(resource);
      return object === undefined ? [] : [[object[0], reason] as const];
    });
    return { objects: objectsOf(snapshot), rejected: new Map(rejected) };
  }

  #frameTo(current: NodeSnapshot): ServerFrame | undefined {
    if (this.#sent !== undefined)
      return this.#sent.version === current.version
        ? undefined
        : { type: 'delta', ...diffSnapshots(this.#sent, current) };
    if (this.#options.resume !== current.version) return snapshotFrame(current);
    return { type: 'delta', from: current.version, to: current.version, upserts: [], removals: [] };
  }

  #write(frame: ServerFrame, now: number): void {
    this.#writeText(encodeFrame(frame), now);
  }

  #writeText(text: string, now: number): void {
    if (!this.#options.stream.write(text)) this.#blockedSince ??= now;
  }
}
