/** What the proxy needs of the rest of the system. The node API's client implements most of it; tests use fakes. */
import type { PodUid } from '../core/brand.ts';
import type { NodeSnapshot } from '../core/snapshot/types.ts';
import type { TokenOutcome, TokenWish } from '../core/token/types.ts';
import type { DecisionSummary } from '../nodeapi/wire/calls.ts';

/** Where tokens come from: the controller, which decides anew whether this pod may have this one. */
export interface TokenSource {
  /**
   * `workload` is the live pod in whose name the proxy asks. Ends soon after `signal` aborts. Throws MetaveilError
   * nodeapi-unavailable, nodeapi-refused or deadline-exceeded when the controller could not answer.
   */
  request(workload: PodUid, wish: TokenWish, signal: AbortSignal): Promise<TokenOutcome>;
}

/** What this node is to serve. A snapshot is replaced as a whole, never changed. */
export interface SnapshotSource {
  /** Undefined until the first snapshot, from the controller or from the last run, is there. */
  current(): NodeSnapshot | undefined;
  /** Called after `current` has changed. Returns the unsubscription. */
  onChange(listener: () => void): () => void;
}

/** Where counted decisions go. Never throws, never waits; what cannot be delivered now is delivered later. */
export interface DecisionReports {
  report(summary: DecisionSummary): void;
}

/** One question to the node's real metadata server, written by us from a permit. */
export interface UpstreamRequest {
  /** Path and query below the server's root. */
  readonly target: string;
  /** A longer reply is none. */
  readonly maxBytes: number;
  /** Only status and ETag are wanted: the body is not read and comes back empty. */
  readonly withoutBody?: true;
}

export type UpstreamReply =
  | {
      readonly kind: 'answered';
      readonly status: number;
      /** Whether the server says that the body is JSON. */
      readonly json: boolean;
      readonly body: string;
      /** Absent where the server sent none, or one of an unknown form. */
      readonly etag?: string;
    }
  /** No connection, no reply in time, too long a one, or one of something that is no metadata server. */
  | { readonly kind: 'unavailable' };

/**
 * The node's real metadata server. Sends `Metadata-Flavor: Google`, the target and nothing else; follows no redirect.
 * Never throws, and ends soon after `signal` aborts.
 */
export interface Upstream {
  get(request: UpstreamRequest, signal: AbortSignal): Promise<UpstreamReply>;
}
