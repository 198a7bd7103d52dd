/**
 * Keeps a copy of all objects of one type: lists them page by page, then watches. The library's own ListWatch never
 * pages, asks for no bookmarks and ends for good on most errors; this one ends only when it is stopped.
 */
import { MetaveilError } from '../../core/errors.ts';
import { objectKey, type ObjectKey } from '../../core/cluster/kinds.ts';
import { pause, type Timers } from '../../core/time.ts';
import { Backoff } from './backoff.ts';
import { errorOfConnection, errorOfFailure, type ApiFailure } from './failure.ts';
import { listPages } from './list.ts';
import { metaOf, type RawObject } from './project/raw.ts';
import { collectionPath, type ResourceType } from './resource.ts';
import { SilenceAlarm } from './silence.ts';
import type { Transport } from './transport.ts';
import { watchEvents, type WatchEvent } from './watch-events.ts';

/** Where the objects go. Its methods run to their end before the next event is read. */
export interface ReflectorSink<T> {
  /** These are all there are. */
  replace(objects: readonly T[]): void;
  upsert(object: T): void;
  remove(key: ObjectKey): void;
}

/** What the operator's telemetry may want to know. */
export interface ReflectorObserver {
  listed(type: ResourceType, objects: number): void;
  /** Nothing is lost by it: it goes on from where it was after `retryInMs`. */
  interrupted(type: ResourceType, error: MetaveilError, retryInMs: number): void;
  /** An object could not be read; what was known of it stays until the next list. */
  unreadable(type: ResourceType, key: ObjectKey): void;
}

/** What to reflect. `project` keeps of an object what is needed, on arrival; undefined: it cannot be read. */
export interface Reflection<T> {
  readonly type: ResourceType;
  /** Default: all namespaces. */
  readonly namespace?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  readonly project: (raw: RawObject) => T | undefined;
  readonly sink: ReflectorSink<T>;
}

export interface ReflectorOptions {
  readonly transport: Transport;
  readonly timers: Timers;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly observer: ReflectorObserver;
}

/** Bookmarks come every minute, so a longer silence means a connection that is dead but not closed. */
const longestSilenceMs = 90_000;
const watchHeadDeadlineMs = 30_000;
/** After so many failed watches in a row of a server that did answer, the version itself may be the trouble. */
const mostFailedWatches = 3;
/** A watch that ends sooner and without a word is a failure. */
const shortestWatchMs = 1_000;
/** Ten watches are no load for an API server; pods that started while it was away wait for this. */
const longestPauseMs = 5_000;

type Step =
  | { readonly kind: 'done' }
  /** The version is no longer in the server's history: list anew. */
  | { readonly kind: 'expired' }
  | {
      readonly kind: 'failed';
      readonly error: MetaveilError;
      readonly answered: boolean;
      readonly retryAfterMs?: number | undefined;
    };

export class Reflector<T> {
  readonly #reflection: Reflection<T>;
  readonly #options: ReflectorOptions;
  readonly #backoff: Backoff;
  readonly #path: string;
  /** Undefined: has to list. */
  #resourceVersion: string | undefined;
  #failedWatches = 0;
  #synced = false;
  #lastContact: number;

  constructor(reflection: Reflection<T>, options: ReflectorOptions) {
    this.#reflection = reflection;
    this.#options = options;
    this.#backoff = new Backoff({ firstMs: 200, longestMs: longestPauseMs, random: options.random });
    this.#path = collectionPath(reflection.type, reflection.namespace);
    this.#lastContact = options.timers.now();
  }

  get type(): ResourceType {
    return this.#reflection.type;
  }

  /** True once the first list is complete. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Milliseconds since the API server was last heard on this watch: how far behind the copy may be. */
  get ageMs(): number {
    return this.#options.timers.now() - this.#lastContact;
  }

  /** Runs until the signal aborts; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const step = this.#resourceVersion === undefined ? await this.#list(signal) : await this.#watch(signal);
      await this.#settle(step, signal);
    }
  }

  async #settle(step: Step, signal: AbortSignal): Promise<void> {
    if (step.kind === 'done' || signal.aborted) return;
    if (step.kind === 'expired' || this.#isSuspect(step)) this.#forgetVersion();
    // All replicas of all operators find their versions expired at once, so this waits too.
    const retryInMs = Math.max(this.#backoff.next(), step.kind === 'failed' ? (step.retryAfterMs ?? 0) : 0);
    if (step.kind === 'failed') this.#options.observer.interrupted(this.type, step.error, retryInMs);
    await pause(this.#options.timers, retryInMs, signal);
  }

  #isSuspect(step: Extract<Step, { kind: 'failed' }>): boolean {
    if (!step.answered || this.#resourceVersion === undefined) return false;
    this.#failedWatches += 1;
    return this.#failedWatches >= mostFailedWatches;
  }

  #forgetVersion(): void {
    this.#resourceVersion = undefined;
    this.#failedWatches = 0;
  }

  async #list(signal: AbortSignal): Promise<Step> {
    const objects: T[] = [];
    try {
      const request = { path: this.#path, query: this.#selectors(), signal };
      const outcome = await listPages(this.#options.transport, request, (page) => {
        this.#lastContact = this.#options.timers.now();
        for (const raw of page) this.#project(raw, (object) => objects.push(object));
      });
      if (outcome.kind === 'expired') return outcome;
      if (outcome.kind === 'failed') throw errorOfFailure(`GET ${this.#path}`, outcome.failure);
      this.#reflection.sink.replace(objects);
      this.#resourceVersion = outcome.resourceVersion;
    } catch (error) {
      return { kind: 'failed', error: errorOfConnection(`GET ${this.#path}`, error), answered: true };
    }
    this.#synced = true;
    this.#backoff.reset();
    this.#options.observer.listed(this.type, objects.length);
    return { kind: 'done' };
  }

  async #watch(signal: AbortSignal): Promise<Step> {
    const stream = new AbortController();
    const stop = () => {
      stream.abort(new MetaveilError('deadline-exceeded', `watch ${this.#path}: stopped`));
    };
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await this.#watchOnce(stream);
    } catch (error) {
      return { kind: 'failed', error: errorOfConnection(`watch ${this.#path}`, error), answered: false };
    } finally {
      signal.removeEventListener('abort', stop);
      stop();
    }
  }

  async #watchOnce(stream: AbortController): Promise<Step> {
    const { transport, timers } = this.#options;
    const openedAt = timers.now();
    const call = {
      method: 'GET',
      path: this.#path,
      query: this.#watchQuery(),
      deadlineMs: watchHeadDeadlineMs,
    } as const;
    const opened = await transport.open(call, stream);
    if (opened.kind === 'failed') return this.#stepOf(opened.failure);
    const alarm = new SilenceAlarm(timers, longestSilenceMs, () => {
      stream.abort(new MetaveilError('kubernetes-unavailable', `watch ${this.#path}: silent for too long`));
    });
    let heard = false;
    try {
      for await (const event of watchEvents(this.#heard(opened.chunks, alarm))) {
        const step = this.#take(event);
        if (step !== undefined) return step;
        heard = true;
      }
    } finally {
      alarm.stop();
    }
    return heard || timers.now() - openedAt >= shortestWatchMs ? { kind: 'done' } : this.#endedAtOnce();
  }

  async *#heard(chunks: AsyncIterable<Uint8Array>, alarm: SilenceAlarm): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      alarm.heard();
      this.#lastContact = this.#options.timers.now();
      yield chunk;
    }
  }

  /** Puts one event into the copy; a step ends the watch. */
  #take(event: WatchEvent): Step | undefined {
    if (event.kind === 'error') return this.#stepOf(event.failure);
    if (event.kind === 'garbage') return this.#failed('the server sent something that is not a watch event');
    try {
      this.#apply(event);
    } catch (error) {
      // A fault of ours. The version stays, so the event comes again; after a few times everything does.
      return { kind: 'failed', error: errorOfConnection(`watch ${this.#path}`, error), answered: true };
    }
    this.#resourceVersion = event.resourceVersion;
    this.#failedWatches = 0;
    this.#backoff.reset();
    return undefined;
  }

  #apply(event: Exclude<WatchEvent, { readonly kind: 'error' | 'garbage' }>): void {
    if (event.kind === 'changed') this.#project(event.object, (object) => this.#reflection.sink.upsert(object));
    if (event.kind === 'deleted') this.#reflection.sink.remove(keyOfRaw(event.object));
  }

  #project(raw: RawObject, use: (object: T) => void): void {
    const object = this.#reflection.project(raw);
    if (object === undefined) this.#options.observer.unreadable(this.type, keyOfRaw(raw));
    else use(object);
  }

  #stepOf(failure: ApiFailure): Step {
    if (failure.status === 410) return { kind: 'expired' };
    const error = errorOfFailure(`watch ${this.#path}`, failure);
    return { kind: 'failed', error, answered: true, retryAfterMs: failure.retryAfterMs };
  }

  #endedAtOnce(): Step {
    return this.#failed('the server ended it at once');
  }

  #failed(why: string): Step {
    const error = new MetaveilError('kubernetes-unavailable', `watch ${this.#path}: ${why}`);
    return { kind: 'failed', error, answered: true };
  }

  #selectors(): Record<string, string> {
    const { fieldSelector, labelSelector } = this.#reflection;
    return { ...(fieldSelector && { fieldSelector }), ...(labelSelector && { labelSelector }) };
  }

  /** Four to eight minutes: all watches of a cluster must not end, and be opened again, together. */
  #watchQuery(): Record<string, string> {
    return {
      ...this.#selectors(),
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.#resourceVersion ?? '',
      timeoutSeconds: String(Math.round(240 + 240 * this.#options.random())),
    };
  }
}

function keyOfRaw(raw: RawObject): ObjectKey {
  const meta = metaOf(raw);
  return meta === undefined ? '' : objectKey(meta.namespace, meta.name);
}
