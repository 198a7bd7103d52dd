/** `metaveil explain` and `metaveil test`. Exit status 0, or 1 for bad input and failing cases. */
import type { KubeSource } from '../adapters/kube/kubeconfig.ts';
import { fileTests } from '../adapters/files/tests.ts';
import type { Profile } from '../api/v1/index.ts';
import { explain, profileData, profileLines, verdictLines } from '../cli/explain.ts';
import { reportLines, runCases } from '../cli/test.ts';
import { formatProblem, printable } from '../local/problem.ts';
import { clusterFromFiles } from './explained-cluster.ts';
import type { ClusterOutcome } from './explained-cluster.ts';
import { clusterFromKube } from './live-cluster.ts';

export type OutputFormat = 'text' | 'json';

/** Which cluster is asked about, and how the answer is printed. */
export interface AskOptions {
  /** File or folder with manifests; absent: the cluster of the kubeconfig. */
  readonly samples?: string;
  /** Absent: where kubectl looks. */
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly allowInsecureEndpoints: boolean;
  readonly output: OutputFormat;
}

export function explainProfile(profile: Profile, output: OutputFormat): number {
  print(output, profileData(profile), profileLines(profile));
  return 0;
}

export async function explainPath(pod: string, path: string, options: AskOptions): Promise<number> {
  const loaded = await loadCluster([pod], options);
  if (loaded.kind === 'rejected') return refuse(loaded.lines);
  const explanation = explain(loaded.cluster, { pod, path }, loaded.namespace);
  if (explanation.kind === 'mistake') return refuse([`${explanation.what}; ${explanation.fix}`]);
  print(options.output, explanation.verdict, verdictLines(explanation.verdict));
  return 0;
}

export async function testFile(file: string, options: AskOptions): Promise<number> {
  const tests = await fileTests.load(file);
  if (tests.kind === 'rejected') return refuse(tests.problems.map(formatProblem));
  const loaded = await loadCluster(
    tests.cases.map(({ pod }) => pod),
    options,
  );
  if (loaded.kind === 'rejected') return refuse(loaded.lines);
  const report = runCases(loaded.cluster, tests.cases, loaded.namespace);
  if (report.kind === 'rejected') return refuse(report.problems.map(formatProblem));
  const { passed, failed, results } = report;
  print(options.output, { passed, failed, results }, reportLines(report));
  return failed === 0 ? 0 : 1;
}

function loadCluster(pods: readonly string[], options: AskOptions): Promise<ClusterOutcome> {
  const { samples, kubeconfig, context, namespace, allowInsecureEndpoints } = options;
  const explained = { namespace, allowInsecureEndpoints };
  if (samples !== undefined) return clusterFromFiles(samples, explained);
  const named = context === undefined ? {} : { context };
  const source: KubeSource =
    kubeconfig === undefined ? { kind: 'default', ...named } : { kind: 'file', path: kubeconfig, ...named };
  return clusterFromKube(source, pods, explained);
}

function refuse(lines: readonly string[]): number {
  for (const line of lines) process.stderr.write(`${printable(line)}\n`);
  return 1;
}

/** Texts of objects are other people's: nothing of them may steer a terminal. */
function print(output: OutputFormat, data: object, lines: readonly string[]): void {
  const text = output === 'json' ? asciiJson(data) : lines.map(printable).join('\n');
  process.stdout.write(`${text}\n`);
}

function asciiJson(data: object): string {
  return JSON.stringify(data, null, 2).replaceAll(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
