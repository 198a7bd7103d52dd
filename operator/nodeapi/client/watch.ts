/** The watch that never gives up: connects, resumes, notices silence, and comes back after a pause that grows. */
import type { IncomingMessage } from 'node:http';
import { MetaveilError } from '../../core/errors.ts';
import { pause, type Timers } from '../../core/time.ts';
import { describeError } from '../../telemetry/log.ts';
import type { Logger } from '../../telemetry/log.ts';
import { decodeFrame } from '../wire/frames.ts';
import type { ReceivedDelta, ReceivedFrame, ReceivedSnapshot } from '../wire/frames.ts';
import { LineReader } from '../wire/lines.ts';
import type { Lines } from '../wire/lines.ts';
import { wireLimits } from '../wire/protocol.ts';
import { Backoff } from './backoff.ts';
import type { Replica } from './replica.ts';
import type { Transport } from './transport.ts';

export interface WatchOptions {
  readonly transport: Transport;
  readonly replica: Replica;
  readonly clock: Timers;
  readonly log: Logger;
  readonly random: () => number;
  /** The replica has taken over a frame; synchronous. */
  readonly onTaken: () => void;
  readonly onConnection: (connected: boolean) => void;
}

/** Until the hello names another, in ms. */
const assumedHeartbeatMs = 5000;
/** Heartbeats that may fail to appear. */
const missedHeartbeats = 3;

/** How a session ended: `at-once` when the controller asked for it, else after a pause. */
type Ending = 'at-once' | 'pause';

export class Watch {
  readonly #options: WatchOptions;
  readonly #backoff: Backoff;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
  }

  /** Ends only with `signal`. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const ending = await this.#session(signal);
      if (ending === 'pause') await pause(this.#options.clock, this.#backoff.next(), signal);
    }
  }

  async #session(signal: AbortSignal): Promise<Ending> {
    const { transport, replica, log, onConnection } = this.#options;
    const resume = replica.resumeFrom;
    try {
      const query = resume === undefined ? '' : `?resume=${resume}`;
      const response = await transport.stream({ method: 'watch', query }, signal);
      onConnection(true);
      log.info('controller-connected', { address: transport.address });
      return await this.#read(response);
    } catch (error) {
      if (!signal.aborted) log.warn('controller-disconnected', { error: describeError(error) });
      return 'pause';
    } finally {
      onConnection(false);
    }
  }

  async #read(response: IncomingMessage): Promise<Ending> {
    const { clock } = this.#options;
    const lines = new LineReader(wireLimits.frameBytes);
    let heartbeatMs = assumedHeartbeatMs;
    const silent = (): void => void response.destroy(new MetaveilError('nodeapi-unavailable', 'no heartbeat'));
    let cancel = clock.after(missedHeartbeats * heartbeatMs, silent);
    try {
      for await (const chunk of response as AsyncIterable<Uint8Array>) {
        const frames = this.#framesIn(lines.push(chunk));
        const bye = frames.find((frame) => frame.type === 'bye');
        if (bye !== undefined) return this.#bye(bye);
        heartbeatMs = frames.find((frame) => frame.type === 'hello')?.heartbeatMs ?? heartbeatMs;
        cancel();
        cancel = clock.after(missedHeartbeats * heartbeatMs, silent);
      }
      throw new MetaveilError('nodeapi-unavailable', 'the stream ended');
    } finally {
      cancel();
      response.destroy();
    }
  }

  /** Decodes and takes over, in order. */
  #framesIn({ lines, problem }: Lines): readonly ReceivedFrame[] {
    const frames = lines.map((line) => {
      const decoded = decodeFrame(line);
      if (decoded.kind === 'invalid') throw this.#unusable(`${decoded.at}: ${decoded.problem}`);
      const frame = decoded.value;
      if (frame.type === 'snapshot' || frame.type === 'delta') this.#take(frame);
      return frame;
    });
    if (problem !== undefined) throw this.#unusable(problem);
    return frames;
  }

  #take(frame: ReceivedSnapshot | ReceivedDelta): void {
    const { replica, log, onTaken } = this.#options;
    if (frame.type === 'snapshot') replica.replace(frame);
    else if (replica.apply(frame) === 'mismatch') throw this.#unusable('delta from another version');
    this.#backoff.reset();
    onTaken();
    log.info('snapshot-received', { version: replica.snapshot?.version ?? '' });
  }

  #bye({ reason, leader }: Extract<ReceivedFrame, { type: 'bye' }>): Ending {
    const { transport, log } = this.#options;
    log.info('controller-disconnected', { reason });
    if (reason === 'credential-due') return 'at-once';
    if (reason === 'not-leader') transport.follow(leader);
    return 'pause';
  }

  /** After this only a whole snapshot can be trusted. */
  #unusable(problem: string): MetaveilError {
    this.#options.replica.forgetVersion();
    this.#options.log.error('frame-refused', { reason: problem });
    return new MetaveilError('nodeapi-unavailable', `frame refused: ${problem}`);
  }
}
