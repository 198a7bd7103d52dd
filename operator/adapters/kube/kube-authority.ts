import { MetaveilError } from '../../core/errors.ts';
import { fieldManager, ownedLabels } from '../../core/names.ts';
import {
  decodeAuthorityState,
  encodeAuthorityState,
  type AuthorityState,
  type AuthorityStore,
  type TrustBundle,
} from '../../nodeapi/server/certificates.ts';
import { unlessNotFound, type KubeClient } from './client.ts';
import { isRecord, recordAt, textAt } from './project/raw.ts';
import { collectionPath, objectPath, type ResourceType } from './resource.ts';

export interface ObjectPlace {
  readonly namespace: string;
  readonly name: string;
}

const secrets: ResourceType = { group: '', version: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true };
const configMaps: ResourceType = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  namespaced: true,
};
const labels = { [ownedLabels.managedBy]: fieldManager };
const stateKey = 'authority.json';
const bundleKey = 'ca.crt';

/** The CA of the node API in one Secret; replicas that write at once are told apart by its resourceVersion. */
export class SecretAuthorityStore implements AuthorityStore {
  readonly #client: KubeClient;
  readonly #place: ObjectPlace;
  /** Version of a Secret that holds no state: it is replaced, where none at all is created. */
  #unreadable: string | undefined;

  constructor(client: KubeClient, place: ObjectPlace) {
    this.#client = client;
    this.#place = place;
  }

  async load(): Promise<{ readonly state: AuthorityState; readonly revision: string } | undefined> {
    const path = objectPath(secrets, this.#place);
    const secret = await unlessNotFound(this.#client.request({ method: 'GET', path }));
    if (!isRecord(secret)) {
      this.#unreadable = undefined;
      return undefined;
    }
    const revision = textAt(recordAt(secret, 'metadata'), 'resourceVersion');
    const text = Buffer.from(textAt(recordAt(secret, 'data'), stateKey), 'base64').toString('utf8');
    const state = decodeAuthorityState(text);
    this.#unreadable = state === undefined ? revision : undefined;
    return state && { state, revision };
  }

  async save(state: AuthorityState, revision: string | undefined): Promise<'saved' | 'conflict'> {
    const replaced = revision ?? this.#unreadable;
    const body = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { ...this.#place, labels, ...(replaced !== undefined && { resourceVersion: replaced }) },
      type: 'Opaque',
      data: { [stateKey]: Buffer.from(encodeAuthorityState(state)).toString('base64') },
    };
    const call =
      replaced === undefined
        ? ({ method: 'POST', path: collectionPath(secrets, this.#place.namespace) } as const)
        : ({ method: 'PUT', path: objectPath(secrets, this.#place) } as const);
    return savedUnlessConflict(this.#client.request({ ...call, query: { fieldManager }, body }));
  }
}

/** The certificates that proxies trust, in a ConfigMap that they mount. */
export class ConfigMapTrustBundle implements TrustBundle {
  readonly #client: KubeClient;
  readonly #place: ObjectPlace;

  constructor(client: KubeClient, place: ObjectPlace) {
    this.#client = client;
    this.#place = place;
  }

  /** Server-side apply: equal content is no change, and a ConfigMap that somebody deleted comes back. */
  async publish(bundle: string): Promise<void> {
    await this.#client.request({
      method: 'PATCH',
      path: objectPath(configMaps, this.#place),
      query: { fieldManager, force: 'true' },
      contentType: 'application/apply-patch+yaml',
      body: {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { ...this.#place, labels },
        data: { [bundleKey]: bundle },
      },
    });
  }
}

/** Gone meanwhile (404 to a replacement) is a conflict too: the caller loads anew. */
async function savedUnlessConflict(write: Promise<unknown>): Promise<'saved' | 'conflict'> {
  try {
    await write;
    return 'saved';
  } catch (error) {
    const { code } = error instanceof MetaveilError ? error : { code: undefined };
    if (code === 'kubernetes-conflict' || code === 'kubernetes-not-found') return 'conflict';
    throw error;
  }
}
