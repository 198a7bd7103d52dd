/** What the verbs that explain decisions ask of the outside. */
import type { Pod } from '../core/cluster/objects.ts';
import type { PolicySubject } from '../core/policy/decision.ts';
import type { Problem, SourcePosition } from '../local/ports.ts';
import type { TestCaseSpec } from './test-schema.ts';

/** A cluster whose decisions are asked for. */
export interface ExplainedCluster {
  /** Pods of users, sorted by namespace and name. */
  pods(): readonly Pod[];
  /** What the pod's proxy decides from; undefined where no MetadataProxy owns the pod's node. */
  subjectOf(pod: Pod): PolicySubject | undefined;
}

/** One case of a test file, with where its parts stand. */
export interface TestCase extends TestCaseSpec {
  readonly at: { readonly case: SourcePosition; readonly pod: SourcePosition; readonly path: SourcePosition };
}

export type TestsOutcome =
  | { readonly kind: 'loaded'; readonly cases: readonly TestCase[] }
  /** At least one problem, in the order of the files; none of the cases may be run. */
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[] };

export interface TestSource {
  /** Reads a file, or the YAML files directly in a folder. Whatever is wrong with the input is a problem. */
  load(path: string): Promise<TestsOutcome>;
}
