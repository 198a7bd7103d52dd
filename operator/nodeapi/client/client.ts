/** The proxy's side of the node API: what to serve, tokens, and what it tells the controller. Node's built-ins only. */
import type { PodUid } from '../../core/brand.ts';
import type { NodeSnapshot, ResourceKey } from '../../core/snapshot/types.ts';
import type { Timers } from '../../core/time.ts';
import type { TokenOutcome, TokenWish } from '../../core/token/types.ts';
import { describeError } from '../../telemetry/log.ts';
import type { Logger } from '../../telemetry/log.ts';
import { decodeAcknowledged, decodeLeaveReply, decodeTokenReply, receivedOutcome } from '../wire/calls.ts';
import type { AckRequest, DecisionSummary, TokenRequest } from '../wire/calls.ts';
import { decodeFrame, encodeFrame, snapshotFrame } from '../wire/frames.ts';
import { LatestOnly } from './latest.ts';
import type { LastGoodFile } from './ports.ts';
import { Replica } from './replica.ts';
import { Reporter } from './reporter.ts';
import { Transport } from './transport.ts';
import type { TransportOptions } from './transport.ts';
import { Watch } from './watch.ts';

export interface NodeApiClientOptions extends TransportOptions {
  readonly lastGood: LastGoodFile;
  readonly clock: Timers;
  readonly log: Logger;
  /** 0 ≤ random() < 1. */
  readonly random: () => number;
}

/** Between two tries to deliver an acknowledgement, in ms. */
const ackRetryMs = 1000;

/** Implements the proxy's SnapshotSource, TokenSource and DecisionReports. */
export class NodeApiClient {
  readonly #options: NodeApiClientOptions;
  readonly #transport: Transport;
  readonly #replica = new Replica();
  readonly #reporter: Reporter;
  readonly #listeners = new Set<() => void>();
  readonly #acknowledging = new LatestOnly(() => this.#acknowledge());
  readonly #saving = new LatestOnly(() => this.#save());
  readonly #reporting = new LatestOnly(() => this.#report());
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;
  #connected = false;
  #ready = false;

  constructor(options: NodeApiClientOptions) {
    this.#options = options;
    this.#transport = new Transport(options);
    this.#reporter = new Reporter(options.clock.now());
  }

  /** Takes up the snapshot of the last run, if there is one, then watches until `stop`. */
  async start(): Promise<void> {
    await this.#restore();
    const watch = new Watch({
      ...this.#options,
      transport: this.#transport,
      replica: this.#replica,
      onTaken: () => this.#taken(),
      onConnection: (connected) => {
        this.#connected = connected;
      },
    });
    this.#running = watch.run(this.#stopped.signal);
  }

  /** Ends the watch; calls under way end too. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  get connected(): boolean {
    return this.#connected;
  }

  current(): NodeSnapshot | undefined {
    return this.#replica.snapshot;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For a listener that finds a resource unusable: the controller is told with the acknowledgement. */
  refuse(key: ResourceKey, reason: string): void {
    this.#replica.refuse(key, reason);
  }

  /** Whether this instance accepts connections. */
  setReady(ready: boolean): void {
    this.#ready = ready;
    this.#acknowledging.request();
  }

  /** Throws nodeapi-unavailable, nodeapi-refused, deadline-exceeded, or the reason of `signal`. */
  async request(workload: PodUid, wish: TokenWish, signal: AbortSignal): Promise<TokenOutcome> {
    const body: TokenRequest = { workload, wish };
    const ending = AbortSignal.any([signal, this.#stopped.signal]);
    const askedAt = this.#options.clock.now();
    const outgoing = { method: 'token', body: JSON.stringify(body) } as const;
    return receivedOutcome(await this.#transport.call(outgoing, decodeTokenReply, ending), askedAt);
  }

  /** Adds to the counters that are delivered when the controller is there. */
  report(summary: DecisionSummary): void {
    this.#reporter.add(summary);
    this.#reporting.request();
  }

  /** Resolves when what was reported is delivered, or when it cannot be now. */
  async reported(): Promise<void> {
    await this.#reporting.idle();
  }

  /** `keep` also when nobody answers: rules that stay are the safe side. */
  async leave(signal: AbortSignal): Promise<'released' | 'keep'> {
    try {
      const reply = await this.#transport.call({ method: 'leave', body: '{}' }, decodeLeaveReply, signal);
      this.#options.log.info('leave-answered', { reason: reply.verdict });
      return reply.verdict;
    } catch (error) {
      this.#options.log.warn('leave-answered', { reason: 'keep', error: describeError(error) });
      return 'keep';
    }
  }

  #taken(): void {
    for (const listener of this.#listeners) listener();
    // Only now: acknowledged means in force.
    this.#acknowledging.request();
    this.#saving.request();
    this.#reporting.request();
  }

  /** Until it is delivered, or the connection is gone: the next one starts with an acknowledgement of its own. */
  async #acknowledge(): Promise<void> {
    const version = this.#replica.resumeFrom;
    if (version === undefined || !this.#connected) return;
    const request: AckRequest = { version, nacks: this.#replica.nacks.slice(0, 1024), ready: this.#ready };
    try {
      const outgoing = { method: 'ack', body: JSON.stringify(request) } as const;
      await this.#transport.call(outgoing, decodeAcknowledged, this.#stopped.signal);
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      this.#options.log.warn('controller-disconnected', { reason: 'ack', error: describeError(error) });
      this.#options.clock.after(ackRetryMs, () => this.#acknowledging.request());
    }
  }

  async #report(): Promise<void> {
    for (let batch = this.#reporter.next(); batch !== undefined && this.#connected; batch = this.#reporter.next()) {
      try {
        const outgoing = { method: 'report', body: JSON.stringify(batch) } as const;
        await this.#transport.call(outgoing, decodeAcknowledged, this.#stopped.signal);
      } catch {
        // It goes again with the next report or the next snapshot.
        return;
      }
      this.#reporter.confirmed();
    }
  }

  async #restore(): Promise<void> {
    const { lastGood, log } = this.#options;
    try {
      const line = await lastGood.read();
      if (line === undefined) return;
      const decoded = decodeFrame(line.trimEnd());
      if (decoded.kind === 'valid' && decoded.value.type === 'snapshot') this.#replica.restore(decoded.value);
      else log.warn('last-good-unusable', { reason: decoded.kind === 'invalid' ? decoded.problem : 'not a snapshot' });
    } catch (error) {
      log.warn('last-good-unusable', { error: describeError(error) });
    }
    if (this.#replica.snapshot !== undefined) for (const listener of this.#listeners) listener();
  }

  async #save(): Promise<void> {
    const { snapshot } = this.#replica;
    if (snapshot === undefined) return;
    try {
      await this.#options.lastGood.write(encodeFrame(snapshotFrame(snapshot)));
    } catch (error) {
      this.#options.log.warn('last-good-unusable', { error: describeError(error) });
    }
  }
}
