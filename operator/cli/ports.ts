/** What the verbs that explain decisions ask of the outside. */
import type { Pod } from '../core/cluster/objects.ts';
import type { PolicySubject } from '../core/policy/decision.ts';
import type { Problem, SourcePosition } from '../local/ports.ts';
import type { TestCaseSpec } from './test-schema.ts';

/** Who answers the metadata requests of a pod. */
export type Coverage =
  | {
      readonly kind: 'served';
      /** What the pod's proxy decides from. */
      readonly subject: PolicySubject;
      /** What else is worth knowing, a sentence each. */
      readonly notes: readonly string[];
    }
  /** Nobody of ours: whatever the node has at the address answers. */
  | { readonly kind: 'not-intercepted'; readonly why: string; readonly proxyName: string }
  /** It makes no requests that a proxy would take for its own. */
  | { readonly kind: 'nobody'; readonly why: string; readonly fix: string };

/** A cluster whose decisions are asked for. */
export interface ExplainedCluster {
  /** Pods of users, sorted by namespace and name. */
  pods(): readonly Pod[];
  /** Names of the workloads that made the pod. */
  workloadsOf(pod: Pod): readonly string[];
  coverageOf(pod: Pod): Coverage;
}

export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

/** What a person may not read, as RBAC names it. */
export interface MissingRight {
  readonly verb: 'get' | 'list';
  /** '' for the core group. */
  readonly group: string;
  readonly resource: string;
  /** '' for the whole cluster. */
  readonly namespace: string;
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
