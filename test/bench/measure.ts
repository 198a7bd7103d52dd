/** What the kernel says of a process, and what wrk says of a server. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Network } from '../netns/network.ts';

const report = join(import.meta.dirname, 'report.lua');
const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** User and system time of all threads, in seconds; the kernel counts in ticks of 10 ms. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may contain spaces; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** The same from the scheduler's own count, which is exact; only of threads that still live. */
export function cpuMsOfThreads(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const ns = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
  );
  return ns.reduce((sum, each) => sum + each, 0) / 1e6;
}

/** Memory that comes from no file, in MiB. */
export function anonymousMiB(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kib = /^Anonymous:\s+(\d+) kB$/mu.exec(rollup)?.[1];
  if (kib === undefined) throw new Error(`no figure for process ${pid}`);
  return Number(kib) / 1024;
}

export interface Target {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

export interface LoadResult {
  readonly requests: number;
  readonly perCpuSecond: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of connections, time-outs, and replies of status 400 and above. */
  readonly errors: number;
}

const connections = 32;

/** Lets wrk ask from a pod for some seconds. */
export async function load(network: Network, { pid, host, port, path }: Target, seconds: number): Promise<LoadResult> {
  const bounds = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '5s'];
  const headers = ['-H', 'Host: metadata.google.internal', '-H', 'Metadata-Flavor: Google'];
  const url = `http://${host}:${port}${path}`;
  const before = cpuSeconds(pid);
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  const wrk = network.spawn('pod-a', ['wrk', ...bounds, ...headers, '-s', report, url], { stdio: [...stdio] });
  if (wrk.stdout === null) throw new Error('wrk has no output');
  const [output] = await Promise.all([text(wrk.stdout), once(wrk, 'exit')]);
  return resultOf(output, cpuSeconds(pid) - before);
}

interface WrkReport {
  readonly requests: number;
  readonly elapsed: number;
  readonly p50: number;
  readonly p99: number;
  readonly errors: number;
}

function resultOf(output: string, cpu: number): LoadResult {
  const line = output.split('\n').find((each) => each.startsWith('{'));
  if (line === undefined) throw new Error(`wrk reported nothing:\n${output}`);
  const { requests, elapsed, p50, p99, errors } = JSON.parse(line) as WrkReport;
  return {
    requests,
    perCpuSecond: requests / cpu,
    perSecond: requests / (elapsed / 1e6),
    p50Ms: p50 / 1000,
    p99Ms: p99 / 1000,
    errors,
  };
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const [low = NaN, high = NaN] = sorted.length % 2 === 1 ? [sorted[middle], sorted[middle]] : sorted.slice(middle - 1);
  return (low + high) / 2;
}
