/**
 * Keeps every node's snapshot up to date: a change in the cluster marks the nodes it can concern, and one pass per tick
 * rebuilds those. A pass has a bounded size, so that a change which concerns 5,000 nodes takes effect on the first of
 * them at once and never holds up the process.
 */
import type { ClusterView } from '../cluster/store.ts';
import { buildNodeSnapshot } from './build.ts';
import type { SnapshotOptions } from './build.ts';
import { nodesConcerned } from './concerns.ts';
import type { NodeSnapshot } from './types.ts';

export interface BuilderOptions extends SnapshotOptions {
  /** Runs a task soon, after what is running now. */
  readonly soon: (task: () => void) => void;
  /** Nodes rebuilt in one pass; default 100. */
  readonly nodesPerPass?: number;
}

type NodesListener = (nodes: ReadonlySet<string>) => void;

export class NodeSnapshotBuilder {
  readonly #cluster: ClusterView;
  readonly #options: BuilderOptions;
  readonly #snapshots = new Map<string, NodeSnapshot>();
  readonly #dirty = new Set<string>();
  /** Rebuilt on demand since the last pass; listeners are told in the next one. */
  readonly #untold = new Set<string>();
  readonly #listeners = new Set<NodesListener>();
  readonly #stopListening: () => void;
  #passPlanned = false;
  #stopped = false;

  constructor(cluster: ClusterView, options: BuilderOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#stopListening = cluster.onChange((change) => this.#mark(nodesConcerned(change, cluster)));
    this.#mark(cluster.nodes().map(({ name }) => name));
  }

  /** Undefined for a node that is unknown or that no MetadataProxy owns. Never older than the store. */
  snapshotOf(nodeName: string): NodeSnapshot | undefined {
    if (this.#dirty.has(nodeName) && this.#rebuild(nodeName)) this.#untold.add(nodeName);
    return this.#snapshots.get(nodeName);
  }

  /** `nodes` are those whose snapshot changed, appeared or went away. Returns how to stop listening. */
  onChange(listener: NodesListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#stopped = true;
    this.#stopListening();
  }

  #mark(nodes: Iterable<string>): void {
    for (const node of nodes) this.#dirty.add(node);
    this.#planPass();
  }

  #planPass(): void {
    if (this.#passPlanned || this.#stopped || this.#dirty.size + this.#untold.size === 0) return;
    this.#passPlanned = true;
    this.#options.soon(() => this.#pass());
  }

  #pass(): void {
    this.#passPlanned = false;
    if (this.#stopped) return;
    const changed = new Set(this.#untold);
    this.#untold.clear();
    const batch = this.#dirty.values().take(this.#options.nodesPerPass ?? 100);
    for (const node of [...batch]) if (this.#rebuild(node)) changed.add(node);
    if (changed.size > 0) for (const listener of this.#listeners) listener(changed);
    this.#planPass();
  }

  /** Whether the snapshot is another one than before. */
  #rebuild(node: string): boolean {
    this.#dirty.delete(node);
    const previous = this.#snapshots.get(node);
    const next = buildNodeSnapshot(this.#cluster, node, this.#options, previous);
    if (next === undefined) this.#snapshots.delete(node);
    else this.#snapshots.set(node, next);
    return next?.version !== previous?.version;
  }
}
