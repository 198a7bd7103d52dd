import type { PodUid, PolicyUid } from '../core/brand.ts';
import type { PolicySubject } from '../core/policy/decision.ts';
import type { CompiledPolicy, NodeSettings, NodeSnapshot, Resource, Workload } from '../core/snapshot/types.ts';
import { boundWorkload, tokenOwnerText, type BoundWorkload } from '../core/token/key.ts';
import { canonicalAddress } from './address.ts';
import type { SnapshotSource } from './ports.ts';

/** The pods that share one token owner; never empty. */
export interface OwnerWorkloads {
  readonly ownerText: string;
  readonly pods: readonly [BoundWorkload, ...BoundWorkload[]];
}

/** One snapshot, arranged for the questions a request asks. It never changes. */
export interface NodeIndex {
  readonly version: string;
  readonly settings: NodeSettings;
  /** The one pod with this address; undefined if there is none, or more than one. */
  byAddress(address: string): PolicySubject | undefined;
  byUid(uid: PodUid): PolicySubject | undefined;
  /** Whether the pod is live and this address is one of its own. */
  owns(uid: PodUid, address: string): boolean;
  readonly owners: ReadonlyMap<string, OwnerWorkloads>;
}

/** Arranges a snapshot; undefined while it has no settings, because then nothing may be decided. */
export function indexSnapshot(snapshot: NodeSnapshot): NodeIndex | undefined {
  const resources = [...snapshot.resources.values()].map((versioned) => versioned.resource);
  const settings = resources.find((resource) => resource.kind === 'settings')?.body;
  if (settings === undefined) return undefined;
  const policies = new Map(resources.filter(isPolicy).map(({ body }) => [body.uid, body]));
  const workloads = resources.filter(isWorkload).map(({ body }) => body);
  const subjects = workloads
    .map((workload) => subjectOf(workload, settings, policies))
    .filter((subject) => subject !== undefined);
  const byUid = new Map(subjects.map((subject) => [subject.workload.uid, subject]));
  const addresses = new Map(subjects.map(({ workload }) => [workload.uid, addressesOf(workload)]));
  const byAddress = addressTable(workloads, byUid);
  return {
    version: snapshot.version,
    settings,
    byAddress: (address) => byAddress.get(address) ?? undefined,
    byUid: (uid) => byUid.get(uid),
    owns: (uid, address) => addresses.get(uid)?.has(address) ?? false,
    owners: ownerTable(subjects.map(({ workload }) => workload)),
  };
}

/** The node's current index, replaced as a whole with every snapshot. */
export class Workloads {
  #index: NodeIndex | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #unsubscribe: () => void;

  constructor(source: SnapshotSource) {
    const read = (): NodeIndex | undefined => {
      const snapshot = source.current();
      return snapshot === undefined ? undefined : indexSnapshot(snapshot);
    };
    this.#index = read();
    this.#unsubscribe = source.onChange(() => {
      // A source that lost its snapshot must not make known pods unknown.
      this.#index = read() ?? this.#index;
      for (const listener of [...this.#listeners]) listener();
    });
  }

  current(): NodeIndex | undefined {
    return this.#index;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    this.#unsubscribe();
    this.#listeners.clear();
  }
}

type ResourceOf<Kind extends Resource['kind']> = Extract<Resource, { kind: Kind }>;

function isWorkload(resource: Resource): resource is ResourceOf<'workload'> {
  return resource.kind === 'workload';
}

function isPolicy(resource: Resource): resource is ResourceOf<'policy'> {
  return resource.kind === 'policy';
}

/**
 * Undefined while the node lacks a policy that selects the pod, for example one that this version could not read:
 * deciding without it could reveal what it conceals, so the pod counts as not known yet.
 */
function subjectOf(
  workload: Workload,
  settings: NodeSettings,
  policies: ReadonlyMap<PolicyUid, CompiledPolicy>,
): PolicySubject | undefined {
  const selecting = workload.policies.map((uid) => policies.get(uid)).filter((policy) => policy !== undefined);
  return selecting.length === workload.policies.length ? { workload, settings, policies: selecting } : undefined;
}

/**
 * Address to pod; null marks an address that more than one pod claims, or one that cannot be decided about. Pods on
 * the host's network all have the node's addresses, so an address says nothing about them.
 */
function addressTable(
  workloads: readonly Workload[],
  subjects: ReadonlyMap<PodUid, PolicySubject>,
): ReadonlyMap<string, PolicySubject | null> {
  const table = new Map<string, PolicySubject | null>();
  for (const workload of workloads.filter(({ hostNetwork }) => !hostNetwork)) {
    const subject = subjects.get(workload.uid) ?? null;
    for (const address of addressesOf(workload)) table.set(address, table.has(address) ? null : subject);
  }
  return table;
}

/** The pod's addresses in the one form that connections are compared with. */
function addressesOf(workload: Workload): ReadonlySet<string> {
  return new Set(workload.ips.map(canonicalAddress).filter((address) => address !== undefined));
}

function ownerTable(workloads: readonly Workload[]): ReadonlyMap<string, OwnerWorkloads> {
  const table = new Map<string, OwnerWorkloads>();
  for (const pod of workloads.map(boundWorkload).filter((bound) => bound !== undefined)) {
    const ownerText = tokenOwnerText(pod.owner);
    const known = table.get(ownerText);
    table.set(ownerText, { ownerText, pods: known === undefined ? [pod] : [...known.pods, pod] });
  }
  return table;
}
