/** What the controllers write when there is no API server: objects are kept in memory, statuses go back into the store. */
import type { CustomObject, StoreKind } from '../../core/cluster/kinds.ts';
import { objectKey } from '../../core/cluster/kinds.ts';
import type { ClusterStore } from '../../core/cluster/store.ts';
import type {
  AppliedObject,
  EventRecorder,
  KubernetesEvent,
  ObjectRef,
  ObjectWriter,
  OwnedObject,
  UnforcedApply,
} from '../../controllers/ports.ts';

/** Older events are dropped; a person reads the newest. */
const maximumEvents = 200;

export interface RecordedEvent extends KubernetesEvent {
  readonly on: string;
}

/** Who is told of what was written, so that the operator sees its own objects again as through a watch. */
export interface ObjectMirror {
  readonly store: ClusterStore;
  created(object: AppliedObject): void;
  deleted(ref: ObjectRef): void;
}

export class LocalObjects implements ObjectWriter, EventRecorder {
  readonly #mirror: ObjectMirror;
  readonly #objects = new Map<string, AppliedObject>();
  readonly #events: RecordedEvent[] = [];

  constructor(mirror: ObjectMirror) {
    this.#mirror = mirror;
  }

  /** Everything the controllers made, sorted by kind, namespace and name. */
  objects(): readonly AppliedObject[] {
    return [...this.#objects.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  events(): readonly RecordedEvent[] {
    return this.#events;
  }

  apply(object: AppliedObject): Promise<void> {
    this.#objects.set(identity(object.kind, object.metadata), object);
    this.#mirror.created(object);
    return Promise.resolve();
  }

  async applyUnforced(object: AppliedObject): Promise<UnforcedApply> {
    await this.apply(object);
    return { kind: 'applied' };
  }

  delete(ref: ObjectRef): Promise<void> {
    this.#objects.delete(identity(ref.kind, ref));
    this.#mirror.deleted(ref);
    return Promise.resolve();
  }

  listOwned(
    type: { readonly apiVersion: string; readonly kind: string },
    labels: Readonly<Record<string, string>>,
  ): Promise<readonly OwnedObject[]> {
    const owned = this.objects().filter(
      ({ apiVersion, kind, metadata }) =>
        apiVersion === type.apiVersion &&
        kind === type.kind &&
        Object.entries(labels).every(([key, value]) => metadata.labels?.[key] === value),
    );
    return Promise.resolve(owned.map(asOwned));
  }

  updateStatus(ref: ObjectRef, status: object): Promise<void> {
    this.#change(ref, (object) => ({ ...object, status }));
    return Promise.resolve();
  }

  addFinalizer(ref: ObjectRef, finalizer: string): Promise<void> {
    this.#setFinalizers(ref, (present) => [...new Set([...present, finalizer])]);
    return Promise.resolve();
  }

  removeFinalizer(ref: ObjectRef, finalizer: string): Promise<void> {
    this.#setFinalizers(ref, (present) => present.filter((each) => each !== finalizer));
    return Promise.resolve();
  }

  record(ref: ObjectRef, event: KubernetesEvent): void {
    this.#events.push({ ...event, on: `${ref.kind} ${objectKey(ref.namespace ?? '', ref.name)}` });
    if (this.#events.length > maximumEvents) this.#events.shift();
  }

  #setFinalizers(ref: ObjectRef, next: (present: readonly string[]) => readonly string[]): void {
    this.#change(ref, (object) => {
      const finalizers = next(object.metadata.finalizers ?? []);
      return { ...object, metadata: { ...object.metadata, finalizers } };
    });
  }

  #change(ref: ObjectRef, change: (object: CustomObject) => CustomObject): void {
    const kind = ref.kind as StoreKind;
    const object = this.#mirror.store.get(kind, objectKey(ref.namespace ?? '', ref.name));
    if (object !== undefined && 'spec' in object) this.#mirror.store.upsert(change(object));
  }
}

function identity(kind: string, { namespace, name }: { readonly namespace?: string; readonly name: string }): string {
  return `${kind}/${namespace ?? ''}/${name}`;
}

function asOwned(object: AppliedObject): OwnedObject {
  const { namespace, name, labels } = object.metadata;
  const place = namespace === undefined ? {} : { namespace };
  const uid = identity(object.kind, object.metadata);
  return {
    ref: { apiVersion: object.apiVersion, kind: object.kind, ...place, name, uid },
    labels: labels ?? {},
    object,
  };
}
