/** Tells owners of pods that ask legacy endpoints: one event per pod and endpoint, and never many at once. */
import { LRUCache } from 'lru-cache';
import { otherEndpoint } from '../../core/request/endpoints.ts';
import type { Clock } from '../../core/time.ts';
import type { DecisionCounters, LegacyRequests, NodeCounts } from '../../nodeapi/server/ports.ts';
import { RateLimit } from '../../nodeapi/server/ratelimit.ts';
import type { EventRecorder, KubernetesEvent } from '../ports.ts';

/** Events live for an hour: what goes on that long is said again. */
const againAfterMs = 3_600_000;

/** Pods and endpoints that are remembered; more than are told about in that time. */
const mostTold = 10_000;

const perNamespace = { burst: 20, perSecond: 0.1 };
const altogether = { burst: 100, perSecond: 1 };

export interface LegacyEventsOptions {
  readonly events: EventRecorder;
  readonly clock: Clock;
}

export class LegacyEvents implements DecisionCounters {
  readonly #options: LegacyEventsOptions;
  /** When it was told, in ms. */
  readonly #toldAt = new LRUCache<string, number>({ max: mostTold });
  readonly #perNamespace: RateLimit;
  readonly #altogether: RateLimit;

  constructor(options: LegacyEventsOptions) {
    this.#options = options;
    this.#perNamespace = new RateLimit(perNamespace, options.clock);
    this.#altogether = new RateLimit(altogether, options.clock);
  }

  record({ legacy }: NodeCounts): void {
    for (const requests of legacy) this.#tell(requests);
  }

  /** What there is no room for now is told when it is counted again. */
  #tell(requests: LegacyRequests): void {
    const { namespace, name, uid } = requests.workload;
    const key = `${uid} ${requests.access} ${requests.endpoint}`;
    const now = this.#options.clock.now();
    if (now - (this.#toldAt.get(key) ?? -Infinity) < againAfterMs) return;
    if (this.#perNamespace.take(namespace) > 0 || this.#altogether.take('') > 0) return;
    this.#toldAt.set(key, now);
    this.#options.events.record({ apiVersion: 'v1', kind: 'Pod', namespace, name, uid }, legacyEvent(requests));
  }
}

function legacyEvent({ endpoint, access }: Pick<LegacyRequests, 'endpoint' | 'access'>): KubernetesEvent {
  const isOther = endpoint === otherEndpoint;
  const asked = isOther ? 'an endpoint' : endpoint === '/' ? 'the root' : endpoint;
  const path = isOther
    ? 'the same path below /computeMetadata/v1/'
    : `/computeMetadata/v1/${endpoint.replace(/^\/$/, '')}`;
  const outcome = access === 'denied' ? 'denied' : 'allowed for now';
  return {
    type: access === 'denied' ? 'Warning' : 'Normal',
    reason: 'LegacyMetadataEndpoint',
    message: `Asked a legacy metadata API (0.1 or v1beta1) for ${asked}, which is ${outcome}. Use ${path} with the header "Metadata-Flavor: Google" instead.`,
  };
}
