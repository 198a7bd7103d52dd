import type { ClusterMetadataPolicy, MetadataPolicy } from '../../api/v1/index.ts';
import type { CompiledPolicy } from '../snapshot/types.ts';
import type { Pattern } from './pattern.ts';

export interface PatternError {
  /** Zero-based offset in the pattern's text. */
  readonly position: number;
  readonly message: string;
}

export type CompiledPattern =
  | { readonly kind: 'compiled'; readonly pattern: Pattern }
  | { readonly kind: 'rejected'; readonly error: PatternError };

export interface PolicyError extends PatternError {
  /** For example `spec.conceal[2]`. */
  readonly field: string;
}

export type CompilationOutcome =
  | { readonly kind: 'compiled'; readonly policy: CompiledPolicy }
  | { readonly kind: 'rejected'; readonly errors: readonly PolicyError[] };

export declare function compilePattern(text: string): CompiledPattern;

/** A policy that does not compile is rejected whole. `podSelector` and `namespaceSelector` are resolved elsewhere. */
export declare function compilePolicy(object: MetadataPolicy | ClusterMetadataPolicy): CompilationOutcome;
