/**
 * Kubernetes' own objects, projected to what Metaveil reads. A reflector projects on arrival, so that 150,000 pods
 * cost what these few fields cost.
 */
import type { NodeUid, PodUid, ServiceAccountUid } from '../brand.ts';

export interface Pod {
  readonly kind: 'Pod';
  readonly uid: PodUid;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccountName: string;
  /** Empty until scheduled. */
  readonly nodeName: string;
  readonly hostNetwork: boolean;
  readonly phase: string;
  /** status.podIPs; empty until the CNI has run. */
  readonly ips: readonly string[];
  readonly hostIP: string;
  readonly deleting: boolean;
  readonly ready: boolean;
  /** uid of the controlling owner, '' if there is none. */
  readonly ownerUid: string;
  readonly ownerKind: string;
  /** Annotation kubernetes.io/config.hash of a mirror pod, '' for others: a static pod gets no token. */
  readonly configHash: string;
  readonly creationTimestamp: string;
}

export interface ServiceAccount {
  readonly kind: 'ServiceAccount';
  readonly uid: ServiceAccountUid;
  readonly namespace: string;
  readonly name: string;
  /** Annotation iam.gke.io/gcp-service-account, '' if absent. */
  readonly gkeServiceAccount: string;
}

export interface Namespace {
  readonly kind: 'Namespace';
  readonly uid: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Nothing can be created in it any more. Absent: false. */
  readonly deleting?: boolean;
}

export interface Taint {
  readonly key: string;
  readonly value: string;
  readonly effect: string;
}

export interface Node {
  readonly kind: 'Node';
  readonly uid: NodeUid;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** For example `gce://my-project/europe-west4-a/node-1`, '' if absent. */
  readonly providerID: string;
  readonly internalIPs: readonly string[];
  readonly ready: boolean;
  readonly unschedulable: boolean;
  readonly taints: readonly Taint[];
  readonly creationTimestamp: string;
}

/** networking.k8s.io/v1 NetworkPolicy, as far as egress is concerned. */
export interface NetworkPolicy {
  readonly kind: 'NetworkPolicy';
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly podSelector: KubernetesLabelSelector;
  readonly policyTypes: readonly string[];
  readonly egress: readonly EgressRule[];
}

/** metav1.LabelSelector as Kubernetes serves it: an empty one selects everything. */
export interface KubernetesLabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

export interface EgressRule {
  /** Absent or empty: any destination. */
  readonly to?: readonly {
    readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
    readonly podSelector?: KubernetesLabelSelector;
    readonly namespaceSelector?: KubernetesLabelSelector;
  }[];
  /** Absent or empty: any port. */
  readonly ports?: readonly {
    readonly protocol?: string;
    readonly port?: number | string;
    readonly endPort?: number;
  }[];
}

/** Live = known to us and not finished; a terminating pod is live until it is gone. */
export function isLive(pod: Pod): boolean {
  return pod.phase !== 'Succeeded' && pod.phase !== 'Failed';
}
