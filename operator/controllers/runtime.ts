/**
 * Runs the controllers: a change in the store becomes keys of each controller's queue. The same for a real cluster and
 * for the embedded default; only the ports differ.
 *
 * A controller is a `ControllerDefinition`, and its `reconcile` has three steps: gather (read the store into one
 * frozen value), plan (pure: from that value to a printable plan) and apply (the plan through the ports).
 */
import type { ClusterView, StoreChange } from '../core/cluster/store.ts';
import type { Timers } from '../core/time.ts';
import { KeyedQueue } from './queue.ts';
import type { Reconcile } from './queue.ts';

export interface ControllerDefinition {
  /** For logs and metrics, for example `bindings`. */
  readonly name: string;
  /** Every key there is; reconciled once after the start, which makes a restart converge. */
  readonly allKeys: (cluster: ClusterView) => Iterable<string>;
  /** Keys that a change concerns. Naming too many is harmless: a plan without changes writes nothing. */
  readonly keysFor: (change: StoreChange, cluster: ClusterView) => Iterable<string>;
  readonly reconcile: Reconcile;
  /** Other sources of work, such as acknowledgements of nodes. Returns how to stop listening. */
  readonly listen?: (wake: (key: string) => void) => () => void;
}

export interface RuntimeOptions {
  readonly timers: Timers;
  readonly random: () => number;
  readonly onFailure: (controller: string, key: string, error: unknown, retryInMs: number) => void;
  /** Keys each controller works on at once; default 4. */
  readonly workers?: number;
}

export class ControllerRuntime {
  readonly #cluster: ClusterView;
  readonly #controllers: readonly { readonly definition: ControllerDefinition; readonly queue: KeyedQueue }[];
  #stops: readonly (() => void)[] = [];

  constructor(cluster: ClusterView, definitions: readonly ControllerDefinition[], options: RuntimeOptions) {
    this.#cluster = cluster;
    this.#controllers = definitions.map((definition) => ({ definition, queue: queueOf(definition, options) }));
  }

  /** To be called when this replica leads and the store has synced: before, absence proves nothing. */
  start(): void {
    this.#stops = this.#controllers.flatMap(({ definition, queue }) => {
      const wake = (key: string) => queue.add(key);
      const unwatch = this.#cluster.onChange((change) => {
        for (const key of definition.keysFor(change, this.#cluster)) wake(key);
      });
      for (const key of definition.allKeys(this.#cluster)) wake(key);
      queue.start();
      return [unwatch, definition.listen?.(wake) ?? (() => undefined)];
    });
  }

  /** Resolves when what was being worked on has ended. A stopped runtime is not started again: make another one. */
  async stop(): Promise<void> {
    for (const stop of this.#stops) stop();
    await Promise.all(this.#controllers.map(({ queue }) => queue.stop()));
  }

  /** Keys that wait, run or are planned for later, by controller. */
  depths(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#controllers.map(({ definition, queue }) => [definition.name, queue.size]));
  }
}

function queueOf(definition: ControllerDefinition, options: RuntimeOptions): KeyedQueue {
  const { timers, random, workers } = options;
  return new KeyedQueue({
    reconcile: definition.reconcile,
    timers,
    random,
    onFailure: (key, error, retryInMs) => options.onFailure(definition.name, key, error, retryInMs),
    ...(workers !== undefined && { workers }),
  });
}
