import { V1MicroTime } from '@kubernetes/client-node';
import type { Event } from 'kubernetes-types/events/v1.js';
import { LRUCache } from 'lru-cache';
import type { MetaveilError } from '../../core/errors.ts';
import type { Timers } from '../../core/time.ts';
import type { EventRecorder, KubernetesEvent, ObjectRef } from '../../controllers/ports.ts';
import { unlessNotFound, type KubeClient } from './client.ts';
import { errorOfConnection } from './failure.ts';
import { collectionPath, objectPath, type ResourceType } from './resource.ts';

export interface EventRecorderOptions {
  readonly client: KubeClient;
  readonly timers: Timers;
  /** Name of this replica's pod. */
  readonly instance: string;
  /** At least eight random lower-case letters or digits, new each time. */
  readonly nonce: () => string;
  readonly onFailure: (error: MetaveilError) => void;
}

const events: ResourceType = {
  group: 'events.k8s.io',
  version: 'v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
};

const reportingController = 'metaveil.dev/controller';
/** The API server's limit for `note`, in bytes. */
const longestNote = 1024;
/** More than so many unsent ones are dropped: events are for people, and nobody reads thousands. */
const mostWaiting = 256;
/** A repetition within this time is counted on the event that is there. */
const sameSeriesMs = 600_000;
/** Per object: so many at once, then one more every so often. */
const burst = 25;
const refillMs = 60_000;

interface Series {
  readonly namespace: string;
  readonly name: string;
  count: number;
  lastAt: number;
}

interface Allowance {
  left: number;
  refilledAt: number;
}

interface Waiting {
  readonly ref: ObjectRef;
  readonly event: KubernetesEvent;
  readonly at: number;
}

/** Writes events in the background, one after the other; equal ones are counted, floods are cut off. */
export class KubeEventRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #waiting: Waiting[] = [];
  readonly #series = new LRUCache<string, Series>({ max: 2048 });
  readonly #allowances = new LRUCache<string, Allowance>({ max: 2048 });
  #sending: Promise<void> | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(ref: ObjectRef, event: KubernetesEvent): void {
    if (this.#waiting.length >= mostWaiting || !this.#mayRecord(ref)) return;
    this.#waiting.push({ ref, event, at: this.#options.timers.now() });
    this.#sending ??= this.#sendAll();
  }

  /** Resolves when everything recorded so far has been sent or given up. */
  async flush(): Promise<void> {
    await this.#sending;
  }

  async #sendAll(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      await this.#send(next).catch((error: unknown) => {
        this.#options.onFailure(errorOfConnection('event', error));
      });
    }
    this.#sending = undefined;
  }

  async #send(waiting: Waiting): Promise<void> {
    const key = JSON.stringify([idOf(waiting.ref), waiting.event]);
    const series = this.#series.get(key);
    if (series !== undefined && waiting.at - series.lastAt < sameSeriesMs && (await this.#count(series, waiting.at))) {
      return;
    }
    // Events of cluster-scoped objects live in `default`.
    const place = {
      namespace: waiting.ref.namespace ?? 'default',
      name: `${stem(waiting.ref.name)}.${this.#options.nonce()}`,
    };
    const path = collectionPath(events, place.namespace);
    await this.#options.client.request({ method: 'POST', path, body: this.#eventOf(waiting, place) });
    this.#series.set(key, { ...place, count: 1, lastAt: waiting.at });
  }

  /** False when the event is no longer there: they live for an hour. */
  async #count(series: Series, at: number): Promise<boolean> {
    const body = { series: { count: series.count + 1, lastObservedTime: new V1MicroTime(at).toISOString() } };
    const path = objectPath(events, series);
    const contentType = 'application/merge-patch+json';
    const reply = await unlessNotFound(this.#options.client.request({ method: 'PATCH', path, contentType, body }));
    if (reply === undefined) return false;
    series.count += 1;
    series.lastAt = at;
    return true;
  }

  #eventOf({ ref, event, at }: Waiting, metadata: Pick<Series, 'namespace' | 'name'>): Event {
    const { apiVersion, kind, name, namespace, uid } = ref;
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata,
      eventTime: new V1MicroTime(at).toISOString(),
      reportingController,
      reportingInstance: this.#options.instance,
      action: 'Reconcile',
      type: event.type,
      reason: event.reason,
      note: cut(event.message, longestNote),
      regarding: {
        apiVersion,
        kind,
        name,
        ...(namespace !== undefined && { namespace }),
        ...(uid !== undefined && { uid }),
      },
    };
  }

  #mayRecord(ref: ObjectRef): boolean {
    const now = this.#options.timers.now();
    const allowance = this.#allowances.get(idOf(ref)) ?? { left: burst, refilledAt: now };
    const refill = Math.floor((now - allowance.refilledAt) / refillMs);
    allowance.left = Math.min(burst, allowance.left + refill);
    allowance.refilledAt += refill * refillMs;
    this.#allowances.set(idOf(ref), allowance);
    if (allowance.left === 0) return false;
    allowance.left -= 1;
    return true;
  }
}

function idOf(ref: ObjectRef): string {
  return JSON.stringify([ref.kind, ref.namespace ?? '', ref.name, ref.uid ?? '']);
}

/** What remains must not end in a dot or hyphen, or the event's name would not be one. */
function stem(name: string): string {
  return name.slice(0, 200).replace(/[.-]+$/, '');
}

/** Bytes, not characters: what is left of a character that was cut becomes the replacement character. */
function cut(text: string, bytes: number): string {
  const whole = Buffer.from(text);
  if (whole.byteLength <= bytes) return text;
  return whole
    .subarray(0, bytes)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
}
