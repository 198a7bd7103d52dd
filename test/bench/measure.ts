/** What the kernel says of a process, and what wrk says of a server. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Network } from '../netns/network.ts';

const script = join(import.meta.dirname, 'wrk.lua');
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

/** Lets wrk ask from a pod for some seconds. */
export async function load(network: Network, target: Target, options: WrkOptions): Promise<LoadResult> {
  const before = cpuSeconds(target.pid);
  const report = await wrk(network, target, options);
  return resultOf(report, cpuSeconds(target.pid) - before);
}

export interface WrkOptions {
  readonly seconds: number;
  readonly connections: number;
  /** Asked in turns instead of the target's one. */
  readonly paths?: readonly string[];
  /** For example `Connection: close`. */
  readonly headers?: readonly string[];
}

/** One run of wrk in a pod. */
export async function wrk(
  network: Network,
  { host, port, path }: Omit<Target, 'pid'>,
  { seconds, connections, paths = [], headers = [] }: WrkOptions,
): Promise<WrkReport> {
  const bounds = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '5s', '-s', script];
  const sent = ['Host: metadata.google.internal', 'Metadata-Flavor: Google', ...headers].flatMap((each) => [
    '-H',
    each,
  ]);
  const command = ['wrk', ...bounds, ...sent, `http://${host}:${port}${path}`] as const;
  const env = { ...process.env, PATHS: paths.join(' ') };
  const child = network.spawn('pod-a', [...command], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.stdout === null) throw new Error('wrk has no output');
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  const line = output.split('\n').find((each) => each.startsWith('{'));
  if (line === undefined) throw new Error(`wrk reported nothing:\n${output}`);
  return JSON.parse(line) as WrkReport;
}

export interface WrkReport {
  readonly requests: number;
  readonly elapsed: number;
  readonly p50: number;
  readonly p99: number;
  /** Connections, reads, writes and time-outs. */
  readonly failed: number;
  /** Replies of status 400 and above. */
  readonly refused: number;
}

function resultOf({ requests, elapsed, p50, p99, failed, refused }: WrkReport, cpu: number): LoadResult {
  return {
    requests,
    perCpuSecond: requests / cpu,
    perSecond: requests / (elapsed / 1e6),
    p50Ms: p50 / 1000,
    p99Ms: p99 / 1000,
    errors: failed + refused,
  };
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const [low = NaN, high = NaN] = sorted.length % 2 === 1 ? [sorted[middle], sorted[middle]] : sorted.slice(middle - 1);
  return (low + high) / 2;
}
