import { sameValue } from '../../core/cluster/equal.ts';
import { objectKey, storeKinds, type StoreKind } from '../../core/cluster/kinds.ts';
import type { ClusterView } from '../../core/cluster/store.ts';
import type { ObjectRef } from '../../controllers/ports.ts';

export type StatusView = Pick<ClusterView, 'get'>;

/**
 * Knows when a status need not be sent: after a restart every object is reconciled, and nearly every status is there
 * already. Between a write of ours and its arrival in the informers, these say what was before: then it is sent again,
 * which the API server takes as no change.
 */
export class StatusMemory {
  readonly #view: StatusView;
  /** Version of our last write to an object, until the informers have it. */
  readonly #pending = new Map<string, string>();

  constructor(view: StatusView) {
    this.#view = view;
  }

  isCurrent(ref: ObjectRef, status: object): boolean {
    const stored = this.#stored(ref);
    if (stored === undefined) return false;
    const id = idOf(ref);
    if (this.#pending.get(id) === stored.metadata.resourceVersion) this.#pending.delete(id);
    return !this.#pending.has(id) && sameValue(stored.status, status);
  }

  written(ref: ObjectRef, resourceVersion: string): void {
    const stored = this.#stored(ref);
    if (stored === undefined) this.#pending.delete(idOf(ref));
    else this.#pending.set(idOf(ref), resourceVersion);
  }

  /** Only our own kinds are kept whole. */
  #stored(ref: ObjectRef) {
    if (!isStoreKind(ref.kind)) return undefined;
    const object = this.#view.get(ref.kind, objectKey(ref.namespace ?? '', ref.name));
    if (object === undefined || !('metadata' in object)) return undefined;
    return ref.uid === undefined || ref.uid === object.metadata.uid ? object : undefined;
  }
}

function idOf(ref: ObjectRef): string {
  return `${ref.kind}/${objectKey(ref.namespace ?? '', ref.name)}`;
}

function isStoreKind(kind: string): kind is StoreKind {
  return (storeKinds as readonly string[]).includes(kind);
}
