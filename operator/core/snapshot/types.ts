/**
 * What a node knows: its settings, its live workloads with their bindings, and the compiled policies they are under.
 * Nothing of other nodes, no token, no key. This is the whole state the proxy decides from.
 */
import type { Profile } from '../../api/v1/index.ts';
import type { BindingUid, ContentHash, NodeUid, PodUid, PolicyUid, ServiceAccountUid } from '../brand.ts';
import type { Pattern } from '../policy/pattern.ts';

export type Mode = 'Audit' | 'Enforce';
export type Platform = 'GCE' | 'AWS' | 'Azure' | 'None';

/** The MetadataProxy that owns the node, resolved for this node. */
export interface NodeSettings {
  readonly nodeName: string;
  readonly nodeUid: NodeUid;
  readonly proxyName: string;
  readonly mode: Mode;
  readonly defaultProfile: Profile;
  readonly unboundWorkloads: 'Deny' | 'FederatedIdentity';
  readonly hostNetworkWorkloads: 'Identify' | 'Deny' | 'Bypass';
  readonly platform: Platform;
  readonly emulated: EmulatedInstance;
}

/** Values of the emulated tree; an absent one answers 404. */
export interface EmulatedInstance {
  readonly projectId?: string;
  readonly numericProjectId?: string;
  /** Short name, for example `europe-west4-a`. */
  readonly zone?: string;
  /** Decimal string: Google's ids exceed 2^53. */
  readonly instanceId: string;
  readonly instanceName: string;
  readonly hostname: string;
  readonly clusterName?: string;
  readonly clusterLocation?: string;
  readonly clusterUid?: string;
  readonly universeDomain: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface WorkloadServiceAccount {
  readonly name: string;
  readonly uid: ServiceAccountUid;
}

/** What a node may know of a binding. */
export interface BindingView {
  readonly uid: BindingUid;
  /** Name of the binding, its ServiceAccount, or '' for an unbound workload's federated identity. */
  readonly name: string;
  readonly generation: number;
  /** Changes when all cached tokens of the binding must be dropped although its generation did not. */
  readonly epoch: string;
  readonly access: 'Impersonate' | 'Direct';
  /** Google service account, or with Direct the pool's name, which clients show and use as a path. */
  readonly email: string;
  /** Allow-list; absent: any. */
  readonly scopes?: readonly string[];
  /** Allow-list; absent: any. */
  readonly idTokenAudiences?: readonly string[];
  readonly tokenLifetimeSeconds: number;
}

/** Why a workload has no binding; the text in the denial depends on it. */
export type UnboundReason = 'no-binding' | 'suspended' | 'not-accepted' | 'static-pod' | 'reserved-namespace';

export type WorkloadIdentity =
  | { readonly kind: 'bound'; readonly binding: BindingView }
  | { readonly kind: 'unbound'; readonly reason: UnboundReason };

/** One live pod of the node. */
export interface Workload {
  readonly uid: PodUid;
  readonly namespace: string;
  readonly name: string;
  readonly serviceAccount: WorkloadServiceAccount;
  readonly hostNetwork: boolean;
  readonly ips: readonly string[];
  readonly identity: WorkloadIdentity;
  /** Policies that select it, sorted by uid. */
  readonly policies: readonly PolicyUid[];
}

/** A policy that compiled; selectors are already resolved to workloads. */
export interface CompiledPolicy {
  readonly uid: PolicyUid;
  readonly kind: 'MetadataPolicy' | 'ClusterMetadataPolicy';
  /** '' for a ClusterMetadataPolicy. */
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  readonly mode: Mode;
  readonly profile?: Profile;
  readonly conceal: readonly Pattern[];
  readonly reveal: readonly Pattern[];
  readonly legacyEndpoints?: 'Deny' | 'Allow';
}

export type Resource =
  | { readonly kind: 'settings'; readonly id: 'node'; readonly body: NodeSettings }
  | { readonly kind: 'policy'; readonly id: PolicyUid; readonly body: CompiledPolicy }
  | { readonly kind: 'workload'; readonly id: PodUid; readonly body: Workload };

/** `kind/id`, unique in a snapshot. */
export type ResourceKey = `${Resource['kind']}/${string}`;

export interface VersionedResource {
  readonly key: ResourceKey;
  readonly hash: ContentHash;
  readonly resource: Resource;
}

/** All of a node at one moment; `version` is a hash over the sorted (key, hash) pairs. */
export interface NodeSnapshot {
  readonly version: ContentHash;
  readonly resources: ReadonlyMap<ResourceKey, VersionedResource>;
}

/** How to get from `from` to `to`. */
export interface SnapshotDelta {
  readonly from: ContentHash;
  readonly to: ContentHash;
  readonly upserts: readonly VersionedResource[];
  readonly removals: readonly ResourceKey[];
}
