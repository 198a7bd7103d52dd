import { MetaveilError } from '../../core/errors.ts';
import { fieldManager } from '../../core/names.ts';
import type { AppliedObject, ObjectRef, ObjectWriter, OwnedObject, UnforcedApply } from '../../controllers/ports.ts';
import { unlessNotFound, type KubeClient } from './client.ts';
import type { ApiDiscovery } from './discovery.ts';
import { errorOfFailure, isOtherUid, type ApiFailure } from './failure.ts';
import { additionOf, removalOf, type Patch } from './finalizers.ts';
import { listPages } from './list.ts';
import { isRecord, metaOf, type RawObject } from './project/raw.ts';
import { collectionPath, objectPath, type ResourceType } from './resource.ts';
import type { ApiReply, ApiRequest } from './transport.ts';

export interface WriterOptions {
  readonly client: KubeClient;
  readonly discovery: ApiDiscovery;
  /** Whether this replica leads, asked before every write: a leader that was cut off must not write over its successor. */
  readonly mayWrite: () => boolean;
}

const applyPatch = 'application/apply-patch+yaml';
const jsonPatch = 'application/json-patch+json';

/** Writes to the API server as field manager `metaveil-controller`. */
export class KubeWriter implements ObjectWriter {
  readonly #options: WriterOptions;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  async apply(object: AppliedObject): Promise<void> {
    const call = applyCall(await this.#typeOf(object), object, true);
    const reply = await this.#send(call, object);
    if (reply.kind === 'failed') throw errorOfApply(call.path, reply.failure);
  }

  async applyUnforced(object: AppliedObject): Promise<UnforcedApply> {
    const call = applyCall(await this.#typeOf(object), object, false);
    const reply = await this.#send(call, object);
    if (reply.kind !== 'failed') return { kind: 'applied' };
    if (reply.failure.ownedByOthers) return { kind: 'conflict', message: reply.failure.message };
    throw errorOfApply(call.path, reply.failure);
  }

  async delete(ref: ObjectRef, uid: string): Promise<void> {
    const type = await this.#options.discovery.find(ref.apiVersion, ref.kind);
    // The kind was uninstalled, and its objects went with it.
    if (type === undefined) return;
    const path = objectPath(type, ref);
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid }, propagationPolicy: 'Background' };
    const reply = await this.#send({ method: 'DELETE', path }, body);
    // Gone already, or another object has the name now: the one that was meant is no more.
    if (reply.kind !== 'failed' || reply.failure.status === 404 || reply.failure.status === 409) return;
    throw errorOfFailure(`DELETE ${path}`, reply.failure);
  }

  async listOwned(
    { namespace, ...type }: { readonly apiVersion: string; readonly kind: string; readonly namespace?: string },
    labels: Readonly<Record<string, string>>,
  ): Promise<readonly OwnedObject[]> {
    const found = await this.#options.discovery.find(type.apiVersion, type.kind);
    if (found === undefined) return [];
    const owned: OwnedObject[] = [];
    const labelSelector = Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(',');
    const request = {
      path: collectionPath(found, namespace),
      query: { labelSelector },
      signal: new AbortController().signal,
    };
    const outcome = await listPages(this.#options.client.transport, request, (page) => {
      for (const raw of page) owned.push(...ownedObject(raw, type));
    });
    if (outcome.kind === 'listed') return owned;
    if (outcome.kind === 'failed') throw errorOfFailure(`GET ${request.path}`, outcome.failure);
    throw new MetaveilError('kubernetes-unavailable', `GET ${request.path}: the list changed while it was read`);
  }

  async updateStatus(ref: ObjectRef, status: object): Promise<void> {
    const type = await this.#typeOf(ref);
    const { apiVersion, kind, namespace, name, uid } = ref;
    const metadata = { name, ...(namespace !== undefined && { namespace }), ...(uid !== undefined && { uid }) };
    const path = objectPath(type, ref, 'status');
    const call = { ...applyCall(type, { metadata }, true), path };
    const reply = await this.#send(call, { apiVersion, kind, metadata, status });
    if (reply.kind === 'failed' && reply.failure.status !== 404) throw errorOfApply(path, reply.failure);
    // Statuses of custom resources are applied whatever uid is given. The new object's own reconciliation puts it right.
    if (reply.kind === 'ok' && uid !== undefined && uidOf(reply.value) !== uid) throw recreated(path);
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
    const reply = await this.#send(call, patch);
    if (reply.kind !== 'failed' || reply.failure.status === 404) return;
    // A `test` that does not hold is answered like an invalid object.
    if (reply.failure.status === 422)
      throw new MetaveilError('kubernetes-conflict', `PATCH ${path}: it changed meanwhile`);
    throw errorOfFailure(`PATCH ${path}`, reply.failure);
  }

  async #typeOf(object: { readonly apiVersion: string; readonly kind: string }): Promise<ResourceType> {
    const type = await this.#options.discovery.find(object.apiVersion, object.kind);
    if (type !== undefined) return type;
    throw new MetaveilError(
      'kubernetes-not-found',
      `the cluster does not serve kind ${object.kind} of ${object.apiVersion}`,
    );
  }

  async #send(call: ApiRequest, body: object): Promise<ApiReply> {
    if (!this.#options.mayWrite()) {
      throw new MetaveilError('kubernetes-conflict', 'another replica leads now; nothing was written');
    }
    return this.#options.client.transport.send({ ...call, body: JSON.stringify(body) });
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

function errorOfApply(path: string, failure: ApiFailure): MetaveilError {
  return isOtherUid(failure) ? recreated(path) : errorOfFailure(`PATCH ${path}`, failure);
}

function recreated(path: string): MetaveilError {
  return new MetaveilError('kubernetes-conflict', `PATCH ${path}: the object was deleted and recreated`);
}

function uidOf(value: unknown): string | undefined {
  return isRecord(value) ? metaOf(value)?.uid : undefined;
}
