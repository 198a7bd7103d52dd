/** `metaveil test`: cases that say what a pod must get, against what it would get. */
import type { Problem, SourcePosition } from '../local/ports.ts';
import type { ExplainedCluster, TestCase } from './ports.ts';
import { readQuestion } from './question.ts';
import { table } from './table.ts';
import { verdictOn } from './verdict.ts';
import type { Verdict } from './verdict.ts';

export interface CaseResult {
  readonly result: 'pass' | 'fail';
  readonly at: SourcePosition;
  readonly expected: Pick<TestCase, 'decision' | 'reason' | 'wouldConceal'>;
  readonly verdict: Verdict;
}

export type TestReport =
  | { readonly kind: 'ran'; readonly passed: number; readonly failed: number; readonly results: readonly CaseResult[] }
  /** A case that cannot be asked makes all of them void: a misspelt pod must not count as concealed. */
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[] };

export function runCases(
  cluster: ExplainedCluster,
  cases: readonly TestCase[],
  namespace: string | undefined,
): TestReport {
  const results: CaseResult[] = [];
  const problems: Problem[] = [];
  for (const each of cases) {
    const read = readQuestion(cluster, each, namespace);
    if (read.kind === 'mistake') problems.push({ at: each.at[read.about], what: read.what, fix: read.fix });
    else results.push(resultOf(each, verdictOn(read.question)));
  }
  if (problems.length > 0) return { kind: 'rejected', problems };
  const passed = results.filter(({ result }) => result === 'pass').length;
  return { kind: 'ran', passed, failed: results.length - passed, results };
}

function resultOf({ at, decision, reason, wouldConceal }: TestCase, verdict: Verdict): CaseResult {
  const holds =
    verdict.decision === decision &&
    (reason === undefined || verdict.reason === reason) &&
    (wouldConceal === undefined || verdict.audit.length > 0 === wouldConceal);
  const expected = {
    decision,
    ...(reason !== undefined && { reason }),
    ...(wouldConceal !== undefined && { wouldConceal }),
  };
  return { result: holds ? 'pass' : 'fail', at: at.case, expected, verdict };
}

export function reportLines({ passed, failed, results }: Extract<TestReport, { kind: 'ran' }>): readonly string[] {
  const rows = results.map(({ result, expected, verdict }) => [
    result.toUpperCase(),
    verdict.pod,
    verdict.version === 'v1' ? verdict.path : `${verdict.path} (legacy)`,
    words(expected.decision, expected.reason, expected.wouldConceal),
  ]);
  const failures = results.filter(({ result }) => result === 'fail').flatMap(failureLines);
  const summary = `${passed} passed, ${failed} failed`;
  return [...table([['RESULT', 'POD', 'PATH', 'EXPECTED'], ...rows]), '', ...failures, summary];
}

function failureLines({ at, expected, verdict }: CaseResult): readonly string[] {
  const { decision, reason, audit } = verdict;
  const wanted = words(expected.decision, expected.reason, expected.wouldConceal);
  const got = words(decision, reason, expected.wouldConceal === undefined ? undefined : audit.length > 0);
  return [
    `${at.file}:${at.line}:${at.column}: expected ${wanted}, but it is ${got}`,
    ...verdict.trace.map((step) => `    ${step}`),
    ...audit.map((found) => `    would conceal: ${found.policy}: ${found.trace.join(' > ')}`),
    '',
  ];
}

function words(decision: string, reason: string | undefined, wouldConceal: boolean | undefined): string {
  const audited = wouldConceal === undefined ? [] : [wouldConceal ? 'would conceal' : 'would not conceal'];
  const details = [...(reason === undefined ? [] : [reason]), ...audited];
  return details.length === 0 ? decision : `${decision} (${details.join(', ')})`;
}
