import type { PodUid } from '../core/brand.ts';
import type { PolicySubject } from '../core/policy/decision.ts';
import type { Timers } from '../core/time.ts';
import type { KeepsLastRequest } from './last-request.ts';
import type { NodeIndex, Workloads } from './workloads.ts';

/** One TCP connection. Its pod is decided at its first request and never again. */
export interface Connection extends KeepsLastRequest {
  /** Canonical source address, see `canonicalAddress`; '' if the peer was gone already. */
  readonly address: string;
  /** The pod this connection belongs to, once known. */
  pod: PodUid | undefined;
  /** Aborted when the peer has gone or the server wants to end: whatever waits answers now. */
  readonly ending: AbortSignal;
}

export type Identification =
  | { readonly kind: 'known'; readonly subject: PolicySubject }
  /** No pod, or more than one, has the source address. */
  | { readonly kind: 'unknown' }
  /** The connection's pod is gone, or its address is no longer its own: nobody else may use the connection. */
  | { readonly kind: 'gone' }
  /** There is no snapshot yet. */
  | { readonly kind: 'not-ready' };

/** How long a request waits for the snapshot to learn of its pod: less than any client's time-out. */
const holdMs = 2_000;

/** Says which pod a request comes from. */
export class Identifier {
  readonly #workloads: Workloads;
  readonly #timers: Timers;

  constructor(workloads: Workloads, timers: Timers) {
    this.#workloads = workloads;
    this.#timers = timers;
  }

  /** Answers at once for a known pod; holds the request of an unknown one until it is known or `holdMs` are over. */
  identify(connection: Connection): Identification | Promise<Identification> {
    const now = this.now(connection);
    return isFinal(now) ? now : this.#hold(connection);
  }

  /** What is known of the connection's pod at this moment; pins the pod if this is the first time it is known. */
  now(connection: Connection): Identification {
    const index = this.#workloads.current();
    if (index === undefined) return { kind: 'not-ready' };
    if (connection.pod !== undefined) return pinned(index, connection.pod, connection.address);
    const subject = index.byAddress(connection.address);
    if (subject === undefined) return { kind: 'unknown' };
    connection.pod = subject.workload.uid;
    return { kind: 'known', subject };
  }

  #hold(connection: Connection): Promise<Identification> {
    return new Promise((resolve) => {
      const finish = (identification: Identification): void => {
        unsubscribe();
        cancel();
        resolve(identification);
      };
      const unsubscribe = this.#workloads.onChange(() => {
        const now = this.now(connection);
        if (isFinal(now)) finish(now);
      });
      const cancel = this.#timers.after(holdMs, () => finish(this.now(connection)));
    });
  }
}

function isFinal(identification: Identification): boolean {
  return identification.kind === 'known' || identification.kind === 'gone';
}

/**
 * A pod keeps its connection while it is live and the address is its own. That another pod claims the address as
 * well changes nothing for a connection that was there before.
 */
function pinned(index: NodeIndex, pod: PodUid, address: string): Identification {
  const subject = index.byUid(pod);
  return subject !== undefined && index.owns(pod, address) ? { kind: 'known', subject } : { kind: 'gone' };
}
