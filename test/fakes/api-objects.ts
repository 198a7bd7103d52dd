/** The API server as the controllers' writer sees it: keeps what is applied, and shows it to the store like a watch. */
import { projectServiceAccount } from '../../operator/adapters/kube/project/account.ts';
import { projectNetworkPolicy } from '../../operator/adapters/kube/project/network-policy.ts';
import { objectKey } from '../../operator/core/cluster/kinds.ts';
import type { CustomObject, StoreKind } from '../../operator/core/cluster/kinds.ts';
import { sameValue } from '../../operator/core/cluster/equal.ts';
import type { ClusterStore } from '../../operator/core/cluster/store.ts';
import type {
  AppliedObject,
  ObjectRef,
  ObjectWriter,
  OwnedObject,
  UnforcedApply,
} from '../../operator/controllers/ports.ts';

type Labels = Readonly<Record<string, string>>;

interface KeptObject extends AppliedObject {
  readonly metadata: AppliedObject['metadata'] & { readonly uid: string; readonly generation: number };
}

export class FakeApiObjects implements ObjectWriter {
  /** Writes, in order: `apply KIND NAMESPACE/NAME`, `delete …`, `status …`, `addFinalizer …`, `removeFinalizer …`. */
  readonly calls: string[] = [];
  readonly statuses: object[] = [];
  /** Asked before each write; what it returns is thrown. */
  refuse: (call: string) => Error | undefined = () => undefined;
  /** Run before each write, as what happens meanwhile. */
  meanwhile: (call: string) => void = () => undefined;
  /** Whether the store sees writes at once, or when `echo` is called. */
  echoes = true;
  readonly #store: ClusterStore;
  readonly #objects = new Map<string, KeptObject>();
  #made = 0;

  constructor(store: ClusterStore) {
    this.#store = store;
  }

  /** `KIND NAMESPACE/NAME`, sorted. */
  names(): readonly string[] {
    return [...this.#objects.keys()].sort();
  }

  object(name: string): AppliedObject {
    const found = this.#objects.get(name);
    if (found === undefined) throw new Error(`there is no ${name}, but ${this.names().join(', ')}`);
    return found;
  }

  /** Calls since the last time. */
  take(): readonly string[] {
    return this.calls.splice(0);
  }

  /** What others do to an object. */
  change(name: string, change: (object: AppliedObject) => AppliedObject): void {
    this.#objects.set(name, change(this.object(name)) as KeptObject);
    this.#show(name);
  }

  /** An object of somebody else, or one of a former controller. */
  put(object: AppliedObject): void {
    const name = nameOf(object.kind, object.metadata);
    const before = this.#objects.get(name);
    this.#made += before === undefined ? 1 : 0;
    const uid = before?.metadata.uid ?? `uid-${this.#made}`;
    const same = before !== undefined && sameValue(plain(before['spec']), plain(object['spec']));
    const generation = (before?.metadata.generation ?? 0) + (same ? 0 : 1);
    const kept = { ...before, ...(plain(object) as AppliedObject) };
    this.#objects.set(name, { ...kept, metadata: { ...kept.metadata, uid, generation } });
    if (this.echoes) this.#show(name);
  }

  async apply(object: AppliedObject): Promise<void> {
    await this.#call(`apply ${nameOf(object.kind, object.metadata)}`);
    this.put(object);
  }

  async applyUnforced(object: AppliedObject): Promise<UnforcedApply> {
    await this.apply(object);
    return { kind: 'applied' };
  }

  async delete(ref: ObjectRef, uid: string): Promise<void> {
    const name = nameOf(ref.kind, ref);
    await this.#call(`delete ${name}`);
    if (this.#objects.get(name)?.metadata.uid !== uid) return;
    this.#objects.delete(name);
    if (this.echoes) this.#show(name);
  }

  /** What the watch delivers at last. */
  echo(): void {
    for (const name of this.#objects.keys()) this.#show(name);
  }

  listOwned(
    type: { readonly apiVersion: string; readonly kind: string; readonly namespace?: string },
    labels: Labels,
  ): Promise<readonly OwnedObject[]> {
    const found = [...this.#objects.values()].filter(
      ({ apiVersion, kind, metadata }) =>
        apiVersion === type.apiVersion &&
        kind === type.kind &&
        (type.namespace === undefined || metadata.namespace === type.namespace) &&
        Object.entries(labels).every(([key, value]) => metadata.labels?.[key] === value),
    );
    return Promise.resolve(found.map(ownedOf));
  }

  async updateStatus(ref: ObjectRef, status: object): Promise<void> {
    await this.#call(`status ${nameOf(ref.kind, ref)}`);
    this.statuses.push(status);
    this.#changeCustom(ref, (object) => ({ ...object, status }));
  }

  async addFinalizer(ref: ObjectRef, finalizer: string): Promise<void> {
    await this.#call(`addFinalizer ${nameOf(ref.kind, ref)}`);
    this.#finalizers(ref, (present) => [...present, finalizer]);
  }

  /** The last one of an object that is being deleted lets it go. */
  async removeFinalizer(ref: ObjectRef, finalizer: string): Promise<void> {
    await this.#call(`removeFinalizer ${nameOf(ref.kind, ref)}`);
    this.#finalizers(ref, (present) => present.filter((each) => each !== finalizer));
    const left = this.#custom(ref);
    if (left?.metadata.deletionTimestamp !== undefined && left.metadata.finalizers?.length === 0) {
      this.#store.remove(left.kind, keyOfRef(ref));
    }
  }

  async #call(call: string): Promise<void> {
    this.meanwhile(call);
    await Promise.resolve();
    this.calls.push(call);
    const refusal = this.refuse(call);
    if (refusal !== undefined) throw refusal;
  }

  #show(name: string): void {
    const kind = name.slice(0, name.indexOf(' ')) as StoreKind;
    if (kind !== 'NetworkPolicy' && kind !== 'ServiceAccount') return;
    const object = this.#objects.get(name);
    if (object === undefined) this.#store.remove(kind, name.slice(name.indexOf(' ') + 1));
    const project = kind === 'NetworkPolicy' ? projectNetworkPolicy : projectServiceAccount;
    const projected = object && project({ ...object });
    if (projected !== undefined) this.#store.upsert(projected);
  }

  #finalizers(ref: ObjectRef, change: (present: readonly string[]) => readonly string[]): void {
    this.#changeCustom(ref, (object) => {
      const finalizers = change(object.metadata.finalizers ?? []);
      return { ...object, metadata: { ...object.metadata, finalizers } };
    });
  }

  #changeCustom(ref: ObjectRef, change: (object: CustomObject) => CustomObject): void {
    const object = this.#custom(ref);
    if (object !== undefined) this.#store.upsert(change(object));
  }

  #custom(ref: ObjectRef): CustomObject | undefined {
    return this.#store.get(ref.kind as CustomObject['kind'], keyOfRef(ref));
  }
}

function keyOfRef({ namespace = '', name }: ObjectRef): string {
  return objectKey(namespace, name);
}

function nameOf(
  kind: string,
  { namespace = '', name }: { readonly namespace?: string; readonly name: string },
): string {
  return `${kind} ${objectKey(namespace, name)}`;
}

/** As JSON carries it: without what is undefined. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

function ownedOf(object: KeptObject): OwnedObject {
  const { namespace, name, uid, labels = {} } = object.metadata;
  const { apiVersion, kind } = object;
  return { ref: { apiVersion, kind, ...(namespace !== undefined && { namespace }), name, uid }, labels, object };
}
