import type { DaemonSet, Deployment, ReplicaSet } from 'kubernetes-types/apps/v1.js';
import type { TokenRequest, TokenReview } from 'kubernetes-types/authentication/v1.js';
import type { Job } from 'kubernetes-types/batch/v1.js';
import type { Lease } from 'kubernetes-types/coordination/v1.js';
import type {
  ConfigMap,
  Event,
  Namespace,
  Node,
  Pod,
  Secret,
  Service,
  ServiceAccount,
} from 'kubernetes-types/core/v1.js';
import type { NetworkPolicy } from 'kubernetes-types/networking/v1.js';
import type { ClusterRole, Role } from 'kubernetes-types/rbac/v1.js';

/** Names a REST resource and, for the compiler only, the type of its objects. */
export interface Kind<T> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Never set; carries T. */
  readonly object?: T;
}

/** The part of metadata that every stored object has. */
export interface StoredMetadata {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly creationTimestamp: string;
  readonly namespace?: string;
  readonly generation?: number;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly {
    readonly apiVersion: string;
    readonly kind: string;
    readonly name: string;
    readonly uid: string;
    readonly controller?: boolean;
  }[];
  readonly managedFields?: readonly { readonly manager?: string; readonly operation?: string }[];
}

/** An object as the API server returns it. */
export type Stored<T> = Omit<T, 'metadata'> & { readonly metadata: StoredMetadata };

/** Describes a custom resource's kind, for the same typed access as the built-in ones. */
export function namespacedKind<T>(apiVersion: string, kind: string, plural: string): Kind<T> {
  return { apiVersion, kind, plural, namespaced: true };
}

/** As namespacedKind, for a cluster-scoped kind. */
export function clusterKind<T>(apiVersion: string, kind: string, plural: string): Kind<T> {
  return { apiVersion, kind, plural, namespaced: false };
}

export const Namespaces = clusterKind<Namespace>('v1', 'Namespace', 'namespaces');
export const Nodes = clusterKind<Node>('v1', 'Node', 'nodes');
export const Pods = namespacedKind<Pod>('v1', 'Pod', 'pods');
export const ServiceAccounts = namespacedKind<ServiceAccount>('v1', 'ServiceAccount', 'serviceaccounts');
export const ConfigMaps = namespacedKind<ConfigMap>('v1', 'ConfigMap', 'configmaps');
export const Secrets = namespacedKind<Secret>('v1', 'Secret', 'secrets');
export const Services = namespacedKind<Service>('v1', 'Service', 'services');
export const Events = namespacedKind<Event>('v1', 'Event', 'events');
export const DaemonSets = namespacedKind<DaemonSet>('apps/v1', 'DaemonSet', 'daemonsets');
export const Deployments = namespacedKind<Deployment>('apps/v1', 'Deployment', 'deployments');
export const ReplicaSets = namespacedKind<ReplicaSet>('apps/v1', 'ReplicaSet', 'replicasets');
export const Jobs = namespacedKind<Job>('batch/v1', 'Job', 'jobs');
export const Leases = namespacedKind<Lease>('coordination.k8s.io/v1', 'Lease', 'leases');
export const NetworkPolicies = namespacedKind<NetworkPolicy>(
  'networking.k8s.io/v1',
  'NetworkPolicy',
  'networkpolicies',
);
export const Roles = namespacedKind<Role>('rbac.authorization.k8s.io/v1', 'Role', 'roles');
export const ClusterRoles = clusterKind<ClusterRole>('rbac.authorization.k8s.io/v1', 'ClusterRole', 'clusterroles');
export const TokenReviews = clusterKind<TokenReview>('authentication.k8s.io/v1', 'TokenReview', 'tokenreviews');
export type { TokenRequest };
