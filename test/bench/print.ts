/** The report: a table, and what became of each budget. */
import { cpus, release } from 'node:os';
import { median } from './measure.ts';
import { podCount } from './snapshot.ts';

export interface CaseFigures {
  readonly name: string;
  readonly perCpuSecond: number;
  /** Requests per CPU-second against bare node:http in the same seconds, of each round; 1 for itself. */
  readonly ratios: readonly number[];
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly requests: number;
  readonly errors: number;
}

export interface ColdStart {
  readonly wallMs: number;
  /** Processor time of the process until the first answer was seen. */
  readonly cpuMs: number;
}

export interface Figures {
  /** The second is the cached token. */
  readonly cases: readonly CaseFigures[];
  /** Anonymous memory in MiB: of the proxy after the load of the cases, and after the soak; of the reference. */
  readonly memory: { readonly afterLoad: number; readonly proxy: number; readonly bare: number };
  readonly starts: readonly ColdStart[];
  /** Requests of the soak that were not answered. */
  readonly failures: number;
  /** Processes that the kernel ended under the memory limit. */
  readonly kills: number;
}

interface Budget {
  readonly what: string;
  readonly figure: string;
  readonly limit: string;
  readonly met: boolean;
}

/** Returns whether every budget is met. */
export function print(figures: Figures): boolean {
  const budgets = budgetsOf(figures);
  const write = (...lines: readonly string[]): void => void process.stdout.write(`${lines.join('\n')}\n\n`);
  write(
    `Linux ${/^[\d.]+/u.exec(release())?.[0] ?? ''}, Node.js ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}`,
  );
  write(
    ...table(
      ['case', 'requests per CPU-second', 'of bare', 'p50 ms', 'p99 ms', 'requests', 'errors'],
      caseRows(figures),
    ),
  );
  const { afterLoad, proxy, bare } = figures.memory;
  write(`Anonymous memory: proxy ${mib(afterLoad)} after the cases, ${mib(proxy)} after the soak; bare ${mib(bare)}.`);
  const rows = budgets.map(({ what, figure, limit, met }) => [what, figure, limit, met ? 'met' : 'MISSED']);
  write(...table(['budget', 'figure', 'limit', ''], rows));
  return budgets.every(({ met }) => met);
}

function caseRows({ cases }: Figures): readonly (readonly string[])[] {
  return cases.map(({ name, perCpuSecond, ratios, p50Ms, p99Ms, requests, errors }) => [
    name,
    String(Math.round(perCpuSecond)),
    `${median(ratios).toFixed(2)} (${[Math.min(...ratios), Math.max(...ratios)].map((each) => each.toFixed(2)).join('–')})`,
    ...[p50Ms, p99Ms].map((ms) => ms.toFixed(1)),
    ...[requests, errors].map(String),
  ]);
}

function budgetsOf({ cases, memory, starts, failures, kills }: Figures): readonly Budget[] {
  const ratio = median(cases[1]?.ratios ?? []);
  const errors = cases.reduce((sum, each) => sum + each.errors, failures);
  const wallMs = median(starts.map((start) => start.wallMs));
  const cpuMs = median(starts.map((start) => start.cpuMs));
  return [
    { what: 'cached token, of bare node:http', figure: ratio.toFixed(2), limit: '≥ 0.75', met: ratio >= 0.75 },
    {
      what: `anonymous memory, ${podCount} pods, after the soak`,
      figure: mib(memory.proxy),
      limit: '≤ 40 MiB',
      met: memory.proxy <= 40,
    },
    {
      what: 'cold start to first answer',
      figure: `${Math.round(wallMs)} ms (${Math.round(cpuMs)} ms of CPU)`,
      limit: '≤ 250 ms',
      met: wallMs <= 250,
    },
    { what: 'ended by the kernel for memory', figure: String(kills), limit: '0', met: kills === 0 },
    { what: 'errors', figure: String(errors), limit: '0', met: errors === 0 },
  ];
}

function mib(amount: number): string {
  return `${amount.toFixed(1)} MiB`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}
