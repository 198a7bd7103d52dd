import { MetaveilError } from '../../core/errors.ts';
import { fieldManager } from '../../core/names.ts';
import type { AppliedObject, ObjectRef, ObjectWriter, OwnedObject, UnforcedApply } from '../../controllers/ports.ts';
import { unlessNotFound, type KubeClient } from './client.ts';
import type { ApiDiscovery } from './discovery.ts';
import { errorOfFailure } from './failure.ts';
import { additionOf, removalOf, type Patch } from './finalizers.ts';
import { listPages } from './list.ts';
import { isRecord, metaOf, textAt, recordAt, type RawObject } from './project/raw.ts';
import { collectionPath, objectPath, type ResourceType } from './resource.ts';
import { StatusMemory, type StatusView } from './status-memory.ts';

export interface WriterOptions {
  readonly client: KubeClient;
  readonly discovery: ApiDiscovery;
  /** Our informers, to send no status that is there already. */
  readonly view: StatusView;
  /** Whether this replica leads, asked before every write: a leader that was cut off must not write over its successor. */
  readonly mayWrite: () => boolean;
}

const applyPatch = 'application/apply-patch+yaml';
const jsonPatch = 'application/json-patch+json';

/** Writes to the API server as field manager `metaveil-controller`. */
export class KubeWriter implements ObjectWriter {
  readonly #options: WriterOptions;
  readonly #statuses: StatusMemory;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#statuses = new StatusMemory(options.view);
  }

  async apply(object: AppliedObject): Promise<void> {
    const type = await this.#typeOf(object);
    await this.#write({ ...applyCall(type, object, true), body: object });
  }

  async applyUnforced(object: AppliedObject): Promise<UnforcedApply> {
    const call = applyCall(await this.#typeOf(object), object, false);
    this.#refuseUnlessLeading();
    const reply = await this.#options.client.transport.send({ ...call, body: JSON.stringify(object) });
    if (reply.kind !== 'failed') return { kind: 'applied' };
    if (reply.failure.ownedByOthers) return { kind: 'conflict', message: reply.failure.message };
    throw errorOfFailure(`PATCH ${call.path}`, reply.failure);
  }

  async delete(ref: ObjectRef, uid: string): Promise<void> {
    const path = objectPath(await this.#typeOf(ref), ref);
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid }, propagationPolicy: 'Background' };
    await unlessNotFound(this.#write({ method: 'DELETE', path, body })).catch((error: unknown) => {
      // Another object has the name now; the one that was meant is gone.
      if (!isConflict(error)) throw error;
    });
  }

  async listOwned(
    type: { readonly apiVersion: string; readonly kind: string },
    labels: Readonly<Record<string, string>>,
  ): Promise<readonly OwnedObject[]> {
    const found = await this.#options.discovery.find(type.apiVersion, type.kind);
    if (found === undefined) return [];
    const owned: OwnedObject[] = [];
    const labelSelector = Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(',');
    const request = { path: collectionPath(found), query: { labelSelector }, signal: new AbortController().signal };
    const outcome = await listPages(this.#options.client.transport, request, (page) => {
      for (const raw of page) owned.push(...ownedObject(raw, type));
    });
    if (outcome.kind === 'listed') return owned;
    throw new MetaveilError('kubernetes-unavailable', `GET ${request.path}: the list changed while it was read`);
  }

  async updateStatus(ref: ObjectRef, status: object): Promise<void> {
    if (this.#statuses.isCurrent(ref, status)) return;
    const type = await this.#typeOf(ref);
    const { apiVersion, kind, namespace, name, uid } = ref;
    const metadata = { name, ...(namespace !== undefined && { namespace }), ...(uid !== undefined && { uid }) };
    const call = { ...applyCall(type, { metadata }, true), path: objectPath(type, ref, 'status') };
    const reply = await unlessNotFound(this.#write({ ...call, body: { apiVersion, kind, metadata, status } }));
    if (isRecord(reply)) this.#statuses.written(ref, textAt(recordAt(reply, 'metadata'), 'resourceVersion'));
  }

  async addFinalizer(ref: ObjectRef, finalizer: string): Promise<void> {
    await this.#patchFinalizers(ref, (raw) => additionOf(raw, finalizer));
  }

  async removeFinalizer(ref: ObjectRef, finalizer: string): Promise<void> {
    await this.#patchFinalizers(ref, (raw) => removalOf(raw, finalizer));
  }

  async #patchFinalizers(ref: ObjectRef, patchOf: (raw: RawObject) => Patch | undefined): Promise<void> {
    const path = objectPath(await this.#typeOf(ref), ref);
    const raw = await unlessNotFound(this.#options.client.request({ method: 'GET', path }));
    // Gone, or another object of that name: nothing of ours is left on it.
    if (!isRecord(raw) || (ref.uid !== undefined && metaOf(raw)?.uid !== ref.uid)) return;
    const patch = patchOf(raw);
    if (patch === undefined) return;
    const call = { method: 'PATCH', path, query: { fieldManager }, contentType: jsonPatch } as const;
    await unlessNotFound(this.#write({ ...call, body: patch }));
  }

  async #typeOf(object: { readonly apiVersion: string; readonly kind: string }): Promise<ResourceType> {
    const type = await this.#options.discovery.find(object.apiVersion, object.kind);
    if (type !== undefined) return type;
    throw new MetaveilError(
      'kubernetes-not-found',
      `the cluster does not serve kind ${object.kind} of ${object.apiVersion}`,
    );
  }

  async #write(call: Parameters<KubeClient['request']>[0]): Promise<unknown> {
    this.#refuseUnlessLeading();
    return this.#options.client.request(call);
  }

  #refuseUnlessLeading(): void {
    if (this.#options.mayWrite()) return;
    throw new MetaveilError('kubernetes-conflict', 'another replica leads now; nothing was written');
  }
}

function applyCall(type: ResourceType, object: Pick<AppliedObject, 'metadata'>, force: boolean) {
  return {
    method: 'PATCH',
    path: objectPath(type, object.metadata),
    query: { fieldManager, force: String(force) },
    contentType: applyPatch,
  } as const;
}

/** Empty for an object without a name; a list leaves apiVersion and kind out. */
function ownedObject(raw: RawObject, type: { readonly apiVersion: string; readonly kind: string }): OwnedObject[] {
  const meta = metaOf(raw);
  if (meta === undefined) return [];
  const { namespace, name, uid, labels } = meta;
  const ref = { ...type, ...(namespace !== '' && { namespace }), name, uid };
  return [{ ref, labels, object: { ...raw, ...type } }];
}

function isConflict(error: unknown): boolean {
  return error instanceof MetaveilError && error.code === 'kubernetes-conflict';
}
