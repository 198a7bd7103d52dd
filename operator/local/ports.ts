/** What the embedded default, and every verb that works on files instead of a cluster, asks of the outside. */
import type {
  ClusterMetadataPolicy,
  MetadataPolicy,
  MetadataProxy,
  WorkloadIdentityBinding,
  WorkloadIdentityProvider,
} from '../api/v1/index.ts';

/** A place in a file; line and column count from 1. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One mistake in a file. Neither text contains control characters, whatever the file contains. */
export interface Problem {
  readonly at: SourcePosition;
  /** What is wrong, without a full stop. */
  readonly what: string;
  /** What to do about it, in the imperative. */
  readonly fix: string;
}

export type OwnResource =
  WorkloadIdentityBinding | WorkloadIdentityProvider | MetadataPolicy | ClusterMetadataPolicy | MetadataProxy;

/** An object of Kubernetes itself, or of anybody else's kind: only apiVersion, kind and metadata were checked. */
export interface ForeignObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export interface Located<T> {
  readonly object: T;
  /** Where its document starts. */
  readonly at: SourcePosition;
}

/** What a folder held, in the order of file names and of documents within a file. */
export interface LoadedSamples {
  /** Valid, with defaults; `status` is dropped, as the API server drops it. */
  readonly resources: readonly Located<OwnResource>[];
  readonly others: readonly Located<ForeignObject>[];
}

export type LoadOutcome =
  | { readonly kind: 'loaded'; readonly samples: LoadedSamples }
  /** At least one problem, in the order of the files; nothing of the folder may be used. */
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[] };

export interface SampleSource {
  /**
   * Reads one YAML file, or all `.yaml` and `.yml` files directly in a folder (as `kubectl apply -f` does). Whatever
   * is wrong with the input, down to a missing file, is a problem and not an exception.
   */
  load(path: string): Promise<LoadOutcome>;
}
