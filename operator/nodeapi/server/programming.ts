/**
 * How far each binding and policy has come on the nodes: what each node should have, and what its connected proxies
 * said they have. An index from object to nodes keeps a question cheap at 5,000 nodes and 10,000 bindings.
 */
import type { PodUid } from '../../core/brand.ts';
import type { NodeSnapshot, Resource } from '../../core/snapshot/types.ts';

/** uid of a policy or a binding → its generation. */
export type ObjectGenerations = ReadonlyMap<string, number>;

/** What one instance of the proxy said last. */
export interface Acknowledgement {
  readonly objects: ObjectGenerations;
  /** Objects that it refused, with its reason. */
  readonly rejected: ReadonlyMap<string, string>;
}

export interface ProgrammingState {
  /** Nodes whose snapshot contains the object or, for a removal, whose proxy still has it. */
  readonly desired: number;
  readonly programmed: number;
  /** Sorted by node. */
  readonly rejected: readonly { readonly node: string; readonly reason: string }[];
  /** Sorted. */
  readonly disconnected: readonly string[];
}

interface NodeState {
  desired: ObjectGenerations;
  /** Connected instances; undefined until the first acknowledgement. */
  readonly instances: Map<PodUid, Acknowledgement | undefined>;
}

type NodeVerdict =
  | { readonly kind: 'not-needed' | 'programmed' | 'pending' | 'disconnected' }
  | { readonly kind: 'rejected'; readonly reason: string };

const nothing: ObjectGenerations = new Map();

/** The object a resource stands for: a policy itself, or the binding of a workload. */
export function objectOf(resource: Resource): readonly [uid: string, generation: number] | undefined {
  if (resource.kind === 'policy') return [resource.body.uid, resource.body.generation];
  if (resource.kind === 'settings' || resource.body.identity.kind === 'unbound') return undefined;
  const { uid, generation } = resource.body.identity.binding;
  return [uid, generation];
}

export function objectsOf(snapshot: NodeSnapshot): ObjectGenerations {
  const objects = [...snapshot.resources.values()].map(({ resource }) => objectOf(resource));
  return new Map(objects.filter((object) => object !== undefined));
}

export class Programming {
  readonly #nodes = new Map<string, NodeState>();
  /** A superset: nodes that have or had the object; cleaned when asked. */
  readonly #nodesByObject = new Map<string, Set<string>>();
  readonly #listeners = new Set<(objectUids: ReadonlySet<string>) => void>();
  readonly #connectionListeners = new Set<(node: string) => void>();

  /** State of one generation of the object over all nodes. */
  programming(objectUid: string, generation: number): ProgrammingState {
    const nodes = [...(this.#nodesByObject.get(objectUid) ?? [])].sort();
    const verdicts = nodes.map((node) => ({ node, verdict: this.#verdict(node, objectUid, generation) }));
    this.#forget(
      objectUid,
      verdicts.filter(({ verdict }) => verdict.kind === 'not-needed').map(({ node }) => node),
    );
    return {
      desired: verdicts.filter(({ verdict }) => verdict.kind !== 'not-needed').length,
      programmed: verdicts.filter(({ verdict }) => verdict.kind === 'programmed').length,
      rejected: verdicts.flatMap(({ node, verdict }) =>
        verdict.kind === 'rejected' ? [{ node, reason: verdict.reason }] : [],
      ),
      disconnected: verdicts.filter(({ verdict }) => verdict.kind === 'disconnected').map(({ node }) => node),
    };
  }

  onChange(listener: (objectUids: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether an instance of the node's proxy watches. */
  isConnected(node: string): boolean {
    return (this.#nodes.get(node)?.instances.size ?? 0) > 0;
  }

  /** Nodes whose connection came or went. Returns the unsubscription. */
  onConnection(listener: (node: string) => void): () => void {
    this.#connectionListeners.add(listener);
    return () => this.#connectionListeners.delete(listener);
  }

  /** What the node should have from now on; an undefined snapshot: nothing. */
  setDesired(node: string, snapshot: NodeSnapshot | undefined): void {
    const state = this.#state(node);
    const before = state.desired;
    state.desired = snapshot === undefined ? nothing : objectsOf(snapshot);
    this.#changed(node, differing(before, state.desired));
    this.#dropIfIdle(node, state);
  }

  connected(node: string, instance: PodUid): void {
    const state = this.#state(node);
    state.instances.set(instance, undefined);
    this.#changed(node, new Set(state.desired.keys()));
    this.#tellConnection(node);
  }

  acknowledged(node: string, instance: PodUid, acknowledgement: Acknowledgement): void {
    const state = this.#state(node);
    const before = state.instances.get(instance);
    state.instances.set(instance, acknowledgement);
    const changed = differing(before?.objects ?? nothing, acknowledgement.objects);
    for (const uid of differing(before?.rejected ?? new Map(), acknowledgement.rejected)) changed.add(uid);
    this.#changed(node, changed);
  }

  disconnected(node: string, instance: PodUid): void {
    const state = this.#state(node);
    const before = state.instances.get(instance);
    state.instances.delete(instance);
    this.#changed(node, new Set([...state.desired.keys(), ...(before?.objects.keys() ?? [])]));
    this.#dropIfIdle(node, state);
    this.#tellConnection(node);
  }

  #tellConnection(node: string): void {
    for (const listener of [...this.#connectionListeners]) listener(node);
  }

  #verdict(node: string, objectUid: string, generation: number): NodeVerdict {
    const state = this.#nodes.get(node);
    if (state === undefined) return { kind: 'not-needed' };
    const desired = state.desired.get(objectUid);
    const instances = [...state.instances.values()];
    const held = instances.some((instance) => instance?.objects.has(objectUid) === true);
    if (desired === undefined && !held) return { kind: 'not-needed' };
    if (instances.length === 0) return { kind: 'disconnected' };
    const reason = instances.map((instance) => instance?.rejected.get(objectUid)).find((text) => text !== undefined);
    if (reason !== undefined) return { kind: 'rejected', reason };
    const everywhere = instances.every((instance) => instance?.objects.get(objectUid) === desired);
    return { kind: everywhere && (desired ?? -1) >= generation ? 'programmed' : 'pending' };
  }

  #state(node: string): NodeState {
    const state = this.#nodes.get(node) ?? { desired: nothing, instances: new Map() };
    this.#nodes.set(node, state);
    return state;
  }

  #dropIfIdle(node: string, state: NodeState): void {
    if (state.desired.size === 0 && state.instances.size === 0) this.#nodes.delete(node);
  }

  #changed(node: string, objectUids: ReadonlySet<string>): void {
    if (objectUids.size === 0) return;
    for (const uid of objectUids) {
      const nodes = this.#nodesByObject.get(uid) ?? new Set();
      this.#nodesByObject.set(uid, nodes.add(node));
    }
    for (const listener of this.#listeners) listener(objectUids);
  }

  #forget(objectUid: string, nodes: readonly string[]): void {
    const indexed = this.#nodesByObject.get(objectUid);
    if (indexed === undefined) return;
    for (const node of nodes) indexed.delete(node);
    if (indexed.size === 0) this.#nodesByObject.delete(objectUid);
  }
}

/** Keys whose values differ between two maps. */
function differing(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): Set<string> {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return new Set([...keys].filter((key) => before.get(key) !== after.get(key)));
}
