/** What the evaluator says about one (workload, path), and why. */
import type { Profile } from '../../api/v1/index.ts';
import type { BindingView, CompiledPolicy, Mode, NodeSettings, UnboundReason, Workload } from '../snapshot/types.ts';

/** A path below /computeMetadata/v1/ as segments: decoded, without `.`, `..` or empty ones. */
export type CanonicalPath = readonly string[];

/** Which API tree a request names. */
export type ApiVersion = 'v1' | 'legacy';

export interface PolicySubject {
  readonly workload: Workload;
  readonly settings: NodeSettings;
  /** The policies that select the workload, in any order. */
  readonly policies: readonly CompiledPolicy[];
}

export interface PolicyReference {
  readonly kind: CompiledPolicy['kind'];
  readonly namespace: string;
  readonly name: string;
}

/**
 * Whose account `instance/service-accounts/**` is for a workload. `node`: the VM's own, from the node's real server.
 * `absent`: the listing is empty and everything below is 404 with advice.
 */
export type ServiceAccountSource =
  | { readonly kind: 'binding'; readonly binding: BindingView }
  | { readonly kind: 'federated'; readonly binding: BindingView }
  | { readonly kind: 'node' }
  | { readonly kind: 'absent'; readonly reason: UnboundReason };

/** One step of the evaluation, in order; the last one decided. */
export type TraceStep =
  | { readonly step: 'effective-profile'; readonly profile: Profile; readonly from: PolicyReference | 'MetadataProxy' }
  | { readonly step: 'concealed-by-policy'; readonly policy: PolicyReference; readonly pattern: string }
  | { readonly step: 'legacy-denied'; readonly by: PolicyReference | 'profile' }
  | { readonly step: 'legacy-allowed'; readonly by: PolicyReference | 'profile' }
  | { readonly step: 'revealed-by-policy'; readonly policy: PolicyReference; readonly pattern: string }
  | { readonly step: 'own-service-account' }
  | { readonly step: 'revealed-by-profile'; readonly profile: Profile; readonly row: string }
  | { readonly step: 'concealed-by-profile'; readonly profile: Profile; readonly row: string }
  | { readonly step: 'revealed-by-default' };

/** A would-be concealment that an Audit policy or an Audit MetadataProxy recorded. */
export interface AuditFinding {
  readonly policy: PolicyReference | 'MetadataProxy';
  readonly trace: readonly TraceStep[];
}

declare const permitBrand: unique symbol;

/**
 * Proof that the evaluator revealed exactly this path to exactly this workload. Serving a value or asking upstream
 * demands one, and only the evaluator makes them.
 */
export interface Permit {
  readonly workload: Workload;
  readonly path: CanonicalPath;
  readonly version: ApiVersion;
  /**
   * `workload`: served from the workload's own identity, never asked upstream. `node`: a value of the node's tree,
   * real or emulated.
   */
  readonly origin: 'node' | 'workload';
  /** `directory`: only a listing or document of what else is revealed below; a value found at the path stays hidden. */
  readonly extent: 'node' | 'directory';
  readonly [permitBrand]: true;
}

export type Decision =
  | {
      readonly kind: 'reveal';
      readonly permit: Permit;
      readonly trace: readonly TraceStep[];
      readonly audit: readonly AuditFinding[];
    }
  | {
      readonly kind: 'conceal';
      readonly reason: 'policy' | 'profile' | 'legacy';
      readonly trace: readonly TraceStep[];
      readonly audit: readonly AuditFinding[];
    };

/** What a listing or a recursive document may contain for one subject. Paths are canonical v1 paths. */
export type PathFilter = (path: CanonicalPath) => Decision;

export type { Mode };
