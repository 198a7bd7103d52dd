/**
 * The node's snapshot as the proxy has it. What could not be taken over is kept as a NACK until the controller sends
 * something better: a policy or the settings then stay as they were, a workload is forgotten, because serving it by
 * an outdated binding would be worse than not knowing it.
 *
 * Versions are the controller's and opaque here: the next controller may compute them in another way.
 */
import type { ContentHash } from '../../core/brand.ts';
import type { NodeSnapshot, ResourceKey, VersionedResource } from '../../core/snapshot/types.ts';
import { maxNackReasonLength } from '../wire/calls.ts';
import type { Nack } from '../wire/calls.ts';
import type { ReceivedDelta, ReceivedSnapshot } from '../wire/frames.ts';
import type { ReceivedResource } from '../wire/resources.ts';

type Resources = ReadonlyMap<ResourceKey, VersionedResource>;

export class Replica {
  #snapshot: NodeSnapshot | undefined;
  #resumable = false;
  readonly #nacks = new Map<ResourceKey, Nack>();

  get snapshot(): NodeSnapshot | undefined {
    return this.#snapshot;
  }

  /** What a new watch may start from; undefined asks for everything. */
  get resumeFrom(): ContentHash | undefined {
    return this.#resumable ? this.#snapshot?.version : undefined;
  }

  get nacks(): readonly Nack[] {
    return [...this.#nacks.values()];
  }

  /** From the last run: good to serve from, but what was refused then is not known, so not to resume from. */
  restore(frame: ReceivedSnapshot): void {
    this.replace(frame);
    this.#resumable = false;
  }

  replace(frame: ReceivedSnapshot): void {
    const before: Resources = this.#snapshot?.resources ?? new Map<ResourceKey, VersionedResource>();
    this.#nacks.clear();
    const resources = new Map<ResourceKey, VersionedResource>();
    for (const received of frame.resources) this.#take(received, resources, before);
    this.#adopt(frame.version, resources);
  }

  /** `mismatch`: it starts from another version, so the whole snapshot is needed. */
  apply(frame: ReceivedDelta): 'applied' | 'mismatch' {
    const before = this.#snapshot;
    if (before === undefined || frame.from !== this.resumeFrom) return 'mismatch';
    const resources = new Map(before.resources);
    for (const key of frame.removals) {
      resources.delete(key);
      this.#nacks.delete(key);
    }
    for (const received of frame.upserts) this.#take(received, resources, before.resources);
    this.#adopt(frame.to, resources);
    return 'applied';
  }

  /** For what consumers of the snapshot find unusable in it. */
  refuse(key: ResourceKey, reason: string): void {
    const hash = this.#snapshot?.resources.get(key)?.hash;
    if (hash !== undefined) this.#nack({ key, hash, reason });
  }

  /** The next watch starts from nothing; what is there is served on. */
  forgetVersion(): void {
    this.#resumable = false;
  }

  #take(received: ReceivedResource, resources: Map<ResourceKey, VersionedResource>, before: Resources): void {
    if (received.kind === 'usable') {
      resources.set(received.versioned.key, received.versioned);
      this.#nacks.delete(received.versioned.key);
      return;
    }
    const { key } = received;
    this.#nack(received);
    const lastGood = before.get(key);
    if (lastGood !== undefined && lastGood.resource.kind !== 'workload') resources.set(key, lastGood);
    else resources.delete(key);
  }

  #nack({ key, hash, reason }: Nack): void {
    this.#nacks.set(key, { key, hash, reason: reason.slice(0, maxNackReasonLength) });
  }

  #adopt(version: ContentHash, resources: Resources): void {
    this.#snapshot = { version, resources };
    this.#resumable = true;
  }
}
