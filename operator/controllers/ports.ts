/**
 * What the controllers need of the outside world. Adapters and the embedded default implement these; tests use fakes.
 * A port that throws, throws MetaveilError only, and a retryable one is retried with backoff by the queue.
 */
import type { WorkloadIdentityBinding, WorkloadIdentityProvider } from '../api/v1/index.ts';
import type { ServiceAccount } from '../core/cluster/objects.ts';

export interface ObjectRef {
  readonly apiVersion: string;
  readonly kind: string;
  /** Absent for a cluster-scoped object. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}

/** A whole object, or the fields we own of one, as sent with server-side apply. */
export interface AppliedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    /** Given for objects of others: the API server then refuses to create one that is gone. */
    readonly uid?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly OwnerReference[];
  };
  readonly [field: string]: unknown;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** An object of ours, as a listing for the sweep returns it. */
export interface OwnedObject {
  readonly ref: ObjectRef & { readonly uid: string };
  readonly labels: Readonly<Record<string, string>>;
  /** The object as the API server returned it, for plans that look deeper than its name. */
  readonly object: Readonly<Record<string, unknown>>;
}

export type UnforcedApply =
  | { readonly kind: 'applied' }
  /** Another field manager owns a field with another value; nothing was written. `message` names it. */
  | { readonly kind: 'conflict'; readonly message: string };

/** Writes to the API server, always as field manager `metaveil-controller`. */
export interface ObjectWriter {
  /** Server-side apply with force: for objects that are ours. An apply that changes nothing writes nothing. */
  apply(object: AppliedObject): Promise<void>;
  /** Server-side apply without force: for single fields of objects that belong to others. */
  applyUnforced(object: AppliedObject): Promise<UnforcedApply>;
  /** Deletes only the object with that uid; one that is gone already is fine. */
  delete(ref: ObjectRef, uid: string): Promise<void>;
  /** All objects of a type that carry every one of `labels`, in one namespace or in all. */
  listOwned(
    type: { readonly apiVersion: string; readonly kind: string; readonly namespace?: string },
    labels: Readonly<Record<string, string>>,
  ): Promise<readonly OwnedObject[]>;
  /**
   * Server-side apply of the whole status of one of our kinds; an object that is gone is fine. Throws
   * kubernetes-conflict if `ref` has a uid and another object has the name now.
   */
  updateStatus(ref: ObjectRef, status: object): Promise<void>;
  addFinalizer(ref: ObjectRef, finalizer: string): Promise<void>;
  /** Removes only this one, by JSON patch with a test; one that is absent already is fine. */
  removeFinalizer(ref: ObjectRef, finalizer: string): Promise<void>;
}

export interface KubernetesEvent {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, for example `CredentialsVerified`. */
  readonly reason: string;
  /** At most 1024 characters are kept. Never a token. */
  readonly message: string;
}

/** Best effort: never throws, never waits. */
export interface EventRecorder {
  record(ref: ObjectRef, event: KubernetesEvent): void;
}

/** How far one generation of a binding or policy has come on the nodes that need it. */
export interface ProgrammingState {
  /** Nodes whose snapshot contains the object or, for a removal, whose proxy still has it. */
  readonly desired: number;
  /** Of `desired`, nodes whose connected proxy acknowledged this generation. */
  readonly programmed: number;
  /** Of `desired`, nodes that are connected and refused it. Sorted by node. */
  readonly rejected: readonly { readonly node: string; readonly reason: string }[];
  /** Of `desired`, nodes without a connected proxy. Sorted. They never hold back Programmed. */
  readonly disconnected: readonly string[];
}

/** The node API server's knowledge of acknowledgements. */
export interface Programming {
  programming(objectUid: string, generation: number): ProgrammingState;
  /** uids whose state may have changed. Returns the unsubscription. */
  onChange(listener: (objectUids: ReadonlySet<string>) => void): () => void;
}

export interface VerificationRequest {
  readonly binding: WorkloadIdentityBinding;
  readonly provider: WorkloadIdentityProvider;
  readonly serviceAccount: ServiceAccount;
}

/** `reason` is Google's own text, without any token. */
export type VerificationOutcome =
  | { readonly kind: 'verified' }
  | { readonly kind: 'permission-denied'; readonly reason: string }
  | { readonly kind: 'rejected'; readonly reason: string }
  | { readonly kind: 'not-found'; readonly reason: string }
  /** Nobody could be asked: says nothing about the binding. */
  | { readonly kind: 'unavailable'; readonly reason: string };

/** Really performs the exchange and, with Impersonate, the impersonation of a binding. Never throws. */
export interface Verifier {
  verify(request: VerificationRequest, signal: AbortSignal): Promise<VerificationOutcome>;
}

/** What the cluster publishes for those who check its ServiceAccount tokens. */
export interface IssuerDiscovery {
  /** The API server's /.well-known/openid-configuration and its JWKS; key ids are sorted. */
  discover(signal: AbortSignal): Promise<{ readonly issuer: string; readonly signingKeyIds: readonly string[] }>;
}
