/**
 * What the node API's server needs of the rest of the system. Adapters and the cluster store implement these; tests
 * use fakes. A port that throws, throws MetaveilError only.
 */
import type { BindingUid, NodeUid, PodUid } from '../../core/brand.ts';
import type {
  BindingView,
  CompiledPolicy,
  NodeSnapshot,
  Workload,
  WorkloadIdentity,
  WorkloadServiceAccount,
} from '../../core/snapshot/types.ts';
import type { IssuedToken } from '../../core/token/types.ts';
import type { DecisionCount, LegacyCount } from '../wire/calls.ts';

/** status.user of an authenticated TokenReview. */
export interface AuthenticatedUser {
  /** For example `system:serviceaccount:metaveil-system:metaveil-proxy`. */
  readonly username: string;
  readonly uid: string;
  /** For example `authentication.kubernetes.io/pod-uid` → one value. Keys as Kubernetes spells them. */
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export type TokenReview =
  | { readonly kind: 'authenticated'; readonly user: AuthenticatedUser }
  /** The API server looked at the token and does not accept it for this audience. */
  | { readonly kind: 'rejected' }
  /** The API server could not be asked: nothing is known about the token. */
  | { readonly kind: 'unavailable' };

/** authentication.k8s.io/v1 TokenReview. */
export interface TokenReviewer {
  /** `authenticated` only if status.audiences contains `audience`. Never throws. */
  review(token: string, audience: string, signal: AbortSignal): Promise<TokenReview>;
}

/** What a requested token is bound to; `unbound` only to verify a binding that has no pods. */
export type TokenBoundObject =
  { readonly kind: 'pod'; readonly name: string; readonly uid: PodUid } | { readonly kind: 'unbound' };

export interface ServiceAccountTokenRequest {
  readonly namespace: string;
  /** The uid is an expectation: a ServiceAccount recreated under the same name is another one. */
  readonly serviceAccount: WorkloadServiceAccount;
  /** Exactly one. */
  readonly audience: string;
  /** 600 to 3600. */
  readonly expirationSeconds: number;
  readonly boundTo: TokenBoundObject;
}

/** TokenRequest, subresource `serviceaccounts/token`. */
export interface ServiceAccountTokens {
  /**
   * Throws kubernetes-unavailable, kubernetes-refused, kubernetes-not-found, and kubernetes-conflict when the
   * ServiceAccount's or the pod's uid is not the expected one.
   */
  request(request: ServiceAccountTokenRequest, signal: AbortSignal): Promise<IssuedToken>;
}

/** Where a provider's tokens are exchanged. */
export interface FederationSettings {
  /** Audience of the Kubernetes token, for example `//iam.googleapis.com/projects/…/providers/x`. */
  readonly audience: string;
  /**
   * Audience of the exchange: always the pool provider's full name, also when the provider wants tokens for another
   * audience. Absent: `audience`.
   */
  readonly exchangeAudience?: string;
  /** For example `googleapis.com`; endpoints that are not given are derived from it. */
  readonly universeDomain: string;
  readonly stsEndpoint?: string;
  readonly iamCredentialsEndpoint?: string;
  /** PEM certificates trusted besides the public ones. */
  readonly caBundle?: string;
}

/** Common to both kinds of exchange. */
export interface ExchangeRequest {
  readonly provider: FederationSettings;
  /** The Kubernetes token. Secret. */
  readonly subjectToken: string;
}

/** With Direct the federated token itself is the result. */
export interface AccessTokenExchange extends ExchangeRequest {
  readonly target:
    | { readonly access: 'Impersonate'; readonly googleServiceAccount: string; readonly lifetimeSeconds: number }
    | { readonly access: 'Direct' };
  /** Not empty. */
  readonly scopes: readonly string[];
}

export interface IdentityTokenExchange extends ExchangeRequest {
  readonly googleServiceAccount: string;
  readonly audience: string;
  readonly includeEmail: boolean;
}

/**
 * Google's STS and IAM Credentials. Throws google-unavailable, google-permission-denied, google-rejected,
 * google-not-found with Google's own reason as message; ends soon after `signal` aborts.
 */
export interface GoogleCredentials {
  accessToken(request: AccessTokenExchange, signal: AbortSignal): Promise<IssuedToken>;
  identityToken(request: IdentityTokenExchange, signal: AbortSignal): Promise<IssuedToken>;
}

/** Each node's snapshot, built from the informers. */
export interface NodeSnapshots {
  /** Undefined for a node that is unknown or that no MetadataProxy owns. */
  snapshotOf(nodeName: string): NodeSnapshot | undefined;
  /**
   * `nodes` are those whose snapshot changed; the first build names all nodes, and the server listens before it.
   * Returns the unsubscription.
   */
  onChange(listener: (nodes: ReadonlySet<string>) => void): () => void;
}

/** A live pod as the token path needs it; everything from our own store, nothing from the caller. */
export interface LiveWorkload {
  readonly uid: PodUid;
  readonly namespace: string;
  readonly name: string;
  readonly nodeName: string;
  readonly serviceAccount: WorkloadServiceAccount;
  readonly identity: WorkloadIdentity;
  /** Of the identity; undefined when there is none or when Metaveil does not exchange for it (GKE). */
  readonly provider: FederationSettings | undefined;
}

export interface WorkloadLookup {
  /** Undefined for a pod that is unknown, gone, Succeeded or Failed. */
  find(pod: PodUid): LiveWorkload | undefined;
  /** What is in force now: undefined when the binding is gone, suspended or not accepted. */
  binding(binding: BindingUid): BindingView | undefined;
  /** Bindings whose view (or provider) changed or went away. Returns the unsubscription. */
  onBindingChange(listener: (bindings: ReadonlySet<BindingUid>) => void): () => void;
}

/** A live pod of ours that runs the proxy, as our informer has it. */
export interface ProxyPod {
  readonly uid: PodUid;
  readonly namespace: string;
  readonly name: string;
  readonly nodeName: string;
  /** uid of the Node object of that name now. */
  readonly nodeUid: NodeUid;
}

export interface ProxyPods {
  /**
   * Undefined unless the pod is live, runs as the proxy's ServiceAccount, is owned by a DaemonSet or ReplicaSet that
   * the controller made, and its Node object exists.
   */
  find(pod: PodUid): ProxyPod | undefined;
  /** A pod that `find` no longer returns. Returns the unsubscription. */
  onGone(listener: (pod: PodUid) => void): () => void;
}

/** Only the leader serves; a follower names it. */
export interface Leadership {
  /** `leader` as `host:port`, undefined while nobody holds the Lease. */
  role(): { readonly kind: 'leader' } | { readonly kind: 'follower'; readonly leader: string | undefined };
  onChange(listener: () => void): () => void;
}

/** Whether an instance that stops should take its node's rules along. */
export interface NodeRelease {
  /** `released`: the node is no longer selected, or the MetadataProxy is being deleted. */
  decide(nodeName: string, instance: PodUid): 'released' | 'keep';
}

/** One instance of the proxy says that it serves; the readinessGate follows it. */
export interface InstanceReadiness {
  /** Called with every ack, and with false when the instance leaves. */
  report(instance: PodUid, ready: boolean): void;
}

/** Requests of one workload to one legacy endpoint. */
export interface LegacyRequests extends Omit<LegacyCount, 'workload'> {
  readonly workload: Workload;
}

/** Decisions of one policy; of the MetadataProxy's default profile where there is none. */
export interface PolicyDecisions extends Omit<DecisionCount, 'policy'> {
  readonly policy: CompiledPolicy | undefined;
}

/** What a node counted, of what it really has: policies and workloads are ours, only the numbers are the node's. */
export interface NodeCounts {
  /** Name of the MetadataProxy that owns the node. */
  readonly proxyName: string;
  readonly decisions: readonly PolicyDecisions[];
  readonly legacy: readonly LegacyRequests[];
}

/** Takes what the nodes count. */
export interface DecisionCounters {
  record(counts: NodeCounts): void;
}
