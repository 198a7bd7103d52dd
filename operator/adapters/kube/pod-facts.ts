import type { MissingRight, PodName } from '../../cli/ports.ts';
import type { PodUid } from '../../core/brand.ts';
import type { ClusterStore } from '../../core/cluster/store.ts';
import type { StoredObject, StoreKind } from '../../core/cluster/kinds.ts';
import { MetaveilError } from '../../core/errors.ts';
import type { KubeClient } from './client.ts';
import { clusterReflections } from './cluster-reflections.ts';
import { errorOfFailure, type ApiFailure } from './failure.ts';
import { listPages } from './list.ts';
import { isRecord, recordAt, recordsAt, textAt, type RawObject } from './project/raw.ts';
import type { Reflection } from './reflector.ts';
import { collectionPath, objectPath, type ResourceType } from './resource.ts';

export type PodFacts =
  | {
      readonly kind: 'read';
      /** Names of the workloads that made a pod, nearest first; absent for a pod that was named itself. */
      readonly workloads: ReadonlyMap<PodUid, readonly string[]>;
    }
  /** Sorted, at least one. */
  | { readonly kind: 'forbidden'; readonly missing: readonly MissingRight[] }
  /** The API server does not know these kinds; at least one. */
  | { readonly kind: 'not-installed'; readonly resources: readonly string[] };

/** Of each: all there are, because any of them can concern any pod. They are few. */
const clusterKinds = ['MetadataProxy', 'ClusterMetadataPolicy', 'WorkloadIdentityProvider'] as const;
const namespaceKinds = ['MetadataPolicy', 'WorkloadIdentityBinding'] as const;

/**
 * Reads into the store what is decided about the named pods from: by get and list alone, with the rights of whoever
 * asks. A name that no pod has is looked for among the pods of its namespace and their workloads.
 *
 * @throws {MetaveilError} kubernetes-*, deadline-exceeded, invalid-configuration (no credentials)
 */
export async function readPodFacts(
  client: KubeClient,
  store: ClusterStore,
  names: readonly PodName[],
): Promise<PodFacts> {
  const reading = new Reading(client, store);
  const namespaces = [...new Set(names.map(({ namespace }) => namespace))];
  await Promise.all([
    ...clusterKinds.map((kind) => reading.list(kind)),
    ...namespaces.flatMap((name) => [
      // Asked for by its own name: for that a role in the very namespace is enough.
      reading.get('Namespace', { namespace: name, name }),
      ...namespaceKinds.map((kind) => reading.list(kind, name)),
    ]),
    reading.pods(names),
  ]);
  const pods = store.pods();
  const accounts = new Map(pods.map((pod) => [`${pod.namespace}/${pod.serviceAccountName}`, pod]));
  const nodes = new Set(pods.map(({ nodeName }) => nodeName).filter((name) => name !== ''));
  await Promise.all([
    ...[...accounts.values()].map((pod) =>
      reading.get('ServiceAccount', { namespace: pod.namespace, name: pod.serviceAccountName }),
    ),
    ...[...nodes].map((name) => reading.get('Node', { name })),
  ]);
  return reading.outcome();
}

type Ref = Partial<PodName> & Pick<PodName, 'name'>;

class Reading {
  readonly #client: KubeClient;
  readonly #reflections: ReadonlyMap<StoreKind, Reflection<StoredObject>>;
  readonly #missing = new Map<string, MissingRight>();
  readonly #unknown = new Set<string>();
  readonly #workloads = new Map<PodUid, readonly string[]>();

  constructor(client: KubeClient, store: ClusterStore) {
    this.#client = client;
    this.#reflections = new Map(clusterReflections(store).map((each) => [each.type.kind as StoreKind, each]));
  }

  outcome(): PodFacts {
    if (this.#unknown.size > 0) return { kind: 'not-installed', resources: [...this.#unknown].sort() };
    const missing = [...this.#missing].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, right]) => right);
    return missing.length > 0 ? { kind: 'forbidden', missing } : { kind: 'read', workloads: this.#workloads };
  }

  async pods(names: readonly PodName[]): Promise<void> {
    const found = await Promise.all(names.map((name) => this.get('Pod', name)));
    const elsewhere = names.filter((_name, index) => found[index] === 'not-found').map(({ namespace }) => namespace);
    await Promise.all([...new Set(elsewhere)].map((namespace) => this.list('Pod', namespace)));
  }

  async get(kind: StoreKind, ref: Ref): Promise<'read' | 'not-found' | 'forbidden'> {
    const { type, project, sink } = this.#reflectionOf(kind);
    const path = objectPath(type, ref);
    const reply = await this.#client.transport.send({ method: 'GET', path });
    if (reply.kind === 'failed') {
      if (reply.failure.status === 404) return 'not-found';
      this.#refused('get', { type, path, namespace: ref.namespace ?? '' }, reply.failure);
      return 'forbidden';
    }
    const object = reply.kind === 'ok' && isRecord(reply.value) ? project(reply.value) : undefined;
    if (object === undefined) throw new MetaveilError('kubernetes-unavailable', `GET ${path}: the reply is no ${kind}`);
    sink.upsert(object);
    return 'read';
  }

  async list(kind: StoreKind, namespace = ''): Promise<void> {
    const { type, project, sink } = this.#reflectionOf(kind);
    const request = { path: collectionPath(type, namespace), query: {}, signal: new AbortController().signal };
    const outcome = await listPages(this.#client.transport, request, (page) => {
      for (const raw of page) {
        const object = project(raw);
        if (object === undefined) continue;
        sink.upsert(object);
        if (object.kind === 'Pod') this.#workloads.set(object.uid, workloadNames(raw));
      }
    });
    if (outcome.kind === 'listed') return;
    if (outcome.kind === 'failed' && outcome.failure.status === 404) this.#unknown.add(`${type.plural}.${type.group}`);
    else if (outcome.kind === 'failed') this.#refused('list', { type, path: request.path, namespace }, outcome.failure);
    else throw new MetaveilError('kubernetes-unavailable', `GET ${request.path}: the list changed while it was read`);
  }

  #refused(verb: MissingRight['verb'], call: RefusedCall, failure: ApiFailure): void {
    const { type, path, namespace } = call;
    if (failure.status !== 403) throw errorOfFailure(`GET ${path}`, failure);
    this.#missing.set(`${type.group} ${type.plural} ${verb} ${namespace}`, {
      verb,
      group: type.group,
      resource: type.plural,
      namespace,
    });
  }

  #reflectionOf(kind: StoreKind): Reflection<StoredObject> {
    const reflection = this.#reflections.get(kind);
    if (reflection === undefined) throw new MetaveilError('invalid-input', `${kind} is not read`);
    return reflection;
  }
}

interface RefusedCall {
  readonly type: ResourceType;
  readonly path: string;
  readonly namespace: string;
}

/** What a person would call the workload: its own name, and that of the Deployment or CronJob behind it. */
function workloadNames(raw: RawObject): readonly string[] {
  const metadata = recordAt(raw, 'metadata');
  const owner = recordsAt(metadata, 'ownerReferences').find((reference) => reference['controller'] === true);
  if (owner === undefined) return [];
  const name = textAt(owner, 'name');
  const suffix = madeSuffixes[textAt(owner, 'kind')];
  const maker = suffix === undefined ? name : name.replace(suffix, '');
  return maker === name ? [name] : [name, maker];
}

/** What the makers of these append to their own name. */
const madeSuffixes: Readonly<Partial<Record<string, RegExp>>> = {
  ReplicaSet: /-[a-z0-9]{1,10}$/,
  Job: /-\d{5,12}$/,
};
