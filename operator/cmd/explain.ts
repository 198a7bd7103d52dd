/** `metaveil explain` and `metaveil test`: answers from files. Exit status 0, or 1 for bad input and failing cases. */
import { fileTests } from '../adapters/files/tests.ts';
import type { Profile } from '../api/v1/index.ts';
import { explain, profileData, profileLines, verdictLines } from '../cli/explain.ts';
import { reportLines, runCases } from '../cli/test.ts';
import { formatProblem, printable } from '../local/problem.ts';
import type { Problem } from '../local/ports.ts';
import { clusterFromFiles } from './explained-cluster.ts';

export type OutputFormat = 'text' | 'json';

export interface FileOptions {
  /** Folder with manifests. */
  readonly samples: string;
  readonly output: OutputFormat;
}

export function explainProfile(profile: Profile, output: OutputFormat): number {
  print(output, profileData(profile), profileLines(profile));
  return 0;
}

export async function explainPath(pod: string, path: string, { samples, output }: FileOptions): Promise<number> {
  const loaded = await clusterFromFiles(samples);
  if (loaded.kind === 'rejected') return refuse(loaded.problems);
  const explanation = explain(loaded.cluster, pod, path);
  if (explanation.kind === 'mistake') {
    process.stderr.write(`${explanation.what}; ${explanation.fix}\n`);
    return 1;
  }
  print(output, explanation.verdict, verdictLines(explanation.verdict));
  return 0;
}

export async function testFile(file: string, { samples, output }: FileOptions): Promise<number> {
  const [loaded, tests] = await Promise.all([clusterFromFiles(samples), fileTests.load(file)]);
  if (loaded.kind === 'rejected') return refuse(loaded.problems);
  if (tests.kind === 'rejected') return refuse(tests.problems);
  const report = runCases(loaded.cluster, tests.cases);
  if (report.kind === 'rejected') return refuse(report.problems);
  const { passed, failed, results } = report;
  print(output, { passed, failed, results }, reportLines(report));
  return failed === 0 ? 0 : 1;
}

function refuse(problems: readonly Problem[]): number {
  for (const problem of problems) process.stderr.write(`${formatProblem(problem)}\n`);
  return 1;
}

/** Names in manifests of foreign kinds are unchecked text: nothing of them may steer a terminal. */
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
