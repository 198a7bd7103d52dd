import type { ClusterMetadataPolicy, MetadataPolicy } from '../../api/v1/index.ts';
import type { PolicyUid } from '../brand.ts';
import type { CompiledPolicy } from '../snapshot/types.ts';
import type { Pattern, SegmentPattern } from './pattern.ts';

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

const maxPatternLength = 256;
const maxSegments = 16;
const maxPatterns = 64;
const foreignCharacter = /[^A-Za-z0-9._@*-]/;

/** Compiles one segment pattern, for example `instance/attributes/secret-*` or `project/**`. */
export function compilePattern(text: string): CompiledPattern {
  if (text.length > maxPatternLength) return rejected(maxPatternLength, 'a pattern has at most 256 characters');
  const written = text.split('/');
  const subtree = written.at(-1) === '**';
  const segments: SegmentPattern[] = [];
  let position = 0;
  for (const segment of subtree ? written.slice(0, -1) : written) {
    const error = segments.length === maxSegments ? tooDeep : errorIn(segment);
    if (error !== undefined) return rejected(position + error.position, error.message);
    segments.push(compileSegment(segment));
    position += segment.length + 1;
  }
  return { kind: 'compiled', pattern: { source: text, segments, subtree } };
}

const tooDeep: PatternError = { position: 0, message: 'a pattern has at most 16 segments' };

function errorIn(segment: string): PatternError | undefined {
  if (segment === '') return { position: 0, message: 'a segment is empty; write no leading, final or double slash' };
  const foreign = segment.search(foreignCharacter);
  if (foreign !== -1) return { position: foreign, message: 'only letters, digits and . _ @ - * stand in a segment' };
  if (/^\.+$/.test(segment)) return { position: 0, message: 'a segment of dots only is no metadata name' };
  const doubleStar = segment.indexOf('**');
  if (doubleStar !== -1) return { position: doubleStar, message: '** stands alone, as the last segment' };
  return undefined;
}

function compileSegment(segment: string): SegmentPattern {
  return segment.includes('*') ? { kind: 'glob', parts: segment.split('*') } : { kind: 'literal', text: segment };
}

function rejected(position: number, message: string): CompiledPattern {
  return { kind: 'rejected', error: { position, message } };
}

/**
 * Compiles a policy for the nodes. One bad pattern rejects it whole, so that the last good version stays in force.
 * `podSelector` and `namespaceSelector` are resolved to workloads elsewhere.
 */
export function compilePolicy(object: MetadataPolicy | ClusterMetadataPolicy): CompilationOutcome {
  const conceal = compileList('spec.conceal', object.spec.conceal);
  const reveal = object.kind === 'ClusterMetadataPolicy' ? compileList('spec.reveal', object.spec.reveal) : noPatterns;
  const errors = [...conceal.errors, ...reveal.errors];
  if (errors.length > 0) return { kind: 'rejected', errors };
  const { profile } = object.spec;
  const legacyEndpoints = object.kind === 'ClusterMetadataPolicy' ? object.spec.legacyEndpoints : undefined;
  return {
    kind: 'compiled',
    policy: {
      ...identityOf(object),
      mode: object.spec.mode,
      conceal: conceal.patterns,
      reveal: reveal.patterns,
      ...(profile === undefined ? {} : { profile }),
      ...(legacyEndpoints === undefined ? {} : { legacyEndpoints }),
    },
  };
}

/** An object read from a file has no uid yet; its name serves, which is unique there. */
function identityOf(
  object: MetadataPolicy | ClusterMetadataPolicy,
): Pick<CompiledPolicy, 'uid' | 'kind' | 'namespace' | 'name' | 'generation'> {
  const { name, uid, generation = 0 } = object.metadata;
  const namespace = object.kind === 'MetadataPolicy' ? (object.metadata.namespace ?? '') : '';
  return {
    uid: (uid ?? `${object.kind}/${namespace}/${name}`) as PolicyUid,
    kind: object.kind,
    namespace,
    name,
    generation,
  };
}

interface CompiledList {
  readonly patterns: readonly Pattern[];
  readonly errors: readonly PolicyError[];
}

const noPatterns: CompiledList = { patterns: [], errors: [] };

function compileList(field: string, texts: readonly string[] = []): CompiledList {
  if (texts.length > maxPatterns) {
    return { patterns: [], errors: [{ field, position: 0, message: 'at most 64 patterns' }] };
  }
  const patterns: Pattern[] = [];
  const errors: PolicyError[] = [];
  texts.forEach((text, index) => {
    const compiled = compilePattern(text);
    if (compiled.kind === 'compiled') patterns.push(compiled.pattern);
    else errors.push({ field: `${field}[${index}]`, ...compiled.error });
  });
  return { patterns, errors };
}
