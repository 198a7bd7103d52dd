/** What a node has, and what it had a moment ago: pods may end before their node's next report. */
import { LRUCache } from 'lru-cache';
import { diffSnapshots } from '../../core/snapshot/delta.ts';
import type { NodeSnapshot, Resource, ResourceKey } from '../../core/snapshot/types.ts';
import type { Clock } from '../../core/time.ts';
import type { NodeSnapshots } from './ports.ts';

/** A node may still count for what it had so long ago, in ms. */
const rememberedMs = 60_000;

/** Of all nodes together. */
const mostRemembered = 20_000;

interface Past {
  readonly resource: Resource;
  readonly until: number;
}

export class NodeMemory {
  readonly #snapshots: NodeSnapshots;
  readonly #clock: Clock;
  readonly #last = new Map<string, NodeSnapshot>();
  readonly #past = new LRUCache<string, Past>({ max: mostRemembered });

  constructor(snapshots: NodeSnapshots, clock: Clock) {
    this.#snapshots = snapshots;
    this.#clock = clock;
    snapshots.onChange((nodes) => {
      for (const node of nodes) this.#follow(node);
    });
  }

  /** Undefined for what the node never had, or had too long ago. */
  find<K extends Resource['kind']>(node: string, kind: K, id: string): ResourceBody<K> | undefined {
    const key: ResourceKey = `${kind}/${id}`;
    const present = this.#snapshots.snapshotOf(node)?.resources.get(key)?.resource;
    const found = present ?? this.#remembered(node, key);
    // A resource is found under its own kind only.
    return found?.body as ResourceBody<K> | undefined;
  }

  #remembered(node: string, key: ResourceKey): Resource | undefined {
    const past = this.#past.get(`${node} ${key}`);
    return past !== undefined && this.#clock.now() <= past.until ? past.resource : undefined;
  }

  #follow(node: string): void {
    const before = this.#last.get(node);
    const after = this.#snapshots.snapshotOf(node);
    if (after === undefined) this.#last.delete(node);
    else this.#last.set(node, after);
    if (before === undefined) return;
    const gone = after === undefined ? before.resources.keys() : diffSnapshots(before, after).removals;
    const until = this.#clock.now() + rememberedMs;
    for (const key of gone) {
      const resource = before.resources.get(key)?.resource;
      if (resource !== undefined) this.#past.set(`${node} ${key}`, { resource, until });
    }
  }
}

type ResourceBody<K extends Resource['kind']> = Extract<Resource, { readonly kind: K }>['body'];
