import { boundWorkload, tokenOwnerText } from '../core/token/key.ts';
import type { TokenWish } from '../core/token/types.ts';
import type { Workload } from '../core/snapshot/types.ts';
import { Budget } from './budget.ts';
import { OwnerTokens, type BrokerAnswer, type OwnerParts } from './owner-tokens.ts';
import type { OwnerWorkloads, Workloads } from './workloads.ts';

export type { BrokerAnswer } from './owner-tokens.ts';

export type BrokerParts = Omit<OwnerParts, 'failureLines'>;

/** How often tokens that nobody waits for are looked at, in ms. */
export const sweepMs = 5_000;

/** Background fetches under way at the same time: a node with many pods must not storm the controller. */
const maxBackground = 8;

const failureLineBurst = 20;
const failureLineRefillMs = 1_000;

/**
 * The node's tokens. They exist only for owners that a live pod of the current snapshot has: a binding that changed,
 * went away or lost its last pod takes its tokens with it. Each owner's usual token is fetched as soon as its first
 * pod appears, so that it is there when the pod's container starts.
 */
export class TokenBroker {
  readonly #parts: OwnerParts;
  readonly #workloads: Workloads;
  readonly #owners = new Map<string, OwnerTokens>();
  readonly #ownerTexts = new WeakMap<Workload, string>();
  #unsubscribe = (): void => undefined;
  #cancelSweep = (): void => undefined;
  #background = 0;
  #closed = false;

  constructor(workloads: Workloads, parts: BrokerParts) {
    const failureLines = new Budget(failureLineBurst, failureLineRefillMs, parts.timers.now());
    this.#parts = { ...parts, failureLines };
    this.#workloads = workloads;
  }

  /** Begins to follow the snapshot and to fetch; until then every token is refused as unavailable. */
  start(): void {
    this.#unsubscribe = this.#workloads.onChange(() => this.#reconcile());
    this.#reconcile();
    this.#sweep();
  }

  /** A token for a pod, under the identity that the given state of the workload names. */
  token(workload: Workload, wish: TokenWish): BrokerAnswer | Promise<BrokerAnswer> {
    const ownerText = this.#ownerTextOf(workload);
    if (ownerText === undefined) return { kind: 'refused', refusal: { kind: 'unbound' } };
    const owner = this.#owners.get(ownerText);
    // The snapshot moved on since the request was evaluated; the client's next try meets the new one.
    if (owner === undefined) return { kind: 'refused', refusal: { kind: 'unavailable', retryAfterMs: 1_000 } };
    return owner.token(workload.uid, wish);
  }

  /** Undefined for a workload without a binding. Written once per state of a workload: every request asks. */
  #ownerTextOf(workload: Workload): string | undefined {
    const known = this.#ownerTexts.get(workload);
    if (known !== undefined) return known;
    const bound = boundWorkload(workload);
    if (bound === undefined) return undefined;
    const text = tokenOwnerText(bound.owner);
    this.#ownerTexts.set(workload, text);
    return text;
  }

  close(): void {
    this.#closed = true;
    this.#cancelSweep();
    this.#unsubscribe();
    for (const owner of this.#owners.values()) owner.drop();
    this.#owners.clear();
  }

  #reconcile(): void {
    const wanted: ReadonlyMap<string, OwnerWorkloads> = this.#workloads.current()?.owners ?? new Map();
    for (const [text, owner] of [...this.#owners]) {
      if (!wanted.has(text)) this.#drop(text, owner);
    }
    for (const [text, workloads] of wanted) {
      const known = this.#owners.get(text);
      if (known === undefined) this.#owners.set(text, new OwnerTokens(workloads, this.#parts));
      else known.update(workloads);
    }
    this.#pump();
  }

  #drop(text: string, owner: OwnerTokens): void {
    owner.drop();
    this.#owners.delete(text);
    this.#parts.logger.info('tokens-dropped', { binding: owner.bindingName });
  }

  #sweep(): void {
    this.#cancelSweep = this.#parts.timers.after(sweepMs, () => {
      this.#pump();
      this.#sweep();
    });
  }

  /** Starts background fetches that are due, as many as may run at once. */
  #pump(): void {
    if (this.#closed) return;
    for (const owner of this.#owners.values()) {
      while (this.#background < maxBackground && this.#start(owner.renewOne()));
    }
  }

  #start(fetch: Promise<void> | undefined): boolean {
    if (fetch === undefined) return false;
    this.#background += 1;
    void fetch.then(() => {
      this.#background -= 1;
      this.#pump();
    });
    return true;
  }
}
