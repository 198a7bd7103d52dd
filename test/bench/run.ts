/**
 * `npm run bench`: what the proxy costs beside bare node:http, on this machine, now. Needs root, iproute2 and wrk.
 *
 * The bundled proxy serves a pod in a network namespace of its own, with the real node API behind it. Cases take turns,
 * so that other work on the machine meets all of them alike; what counts are ratios and requests per CPU-second.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { nodeNetwork } from '../netns/topology.ts';
import type { Network } from '../netns/network.ts';
import { anonymousMiB, cpuMsOfThreads, load, median } from './measure.ts';
import type { LoadResult } from './measure.ts';
import { print } from './print.ts';
import type { CaseFigures, ColdStart } from './print.ts';
import { AskingPod, barePort, nodeAddress, prepare, Program, proxyPort, ProxyUnderTest } from './stage.ts';
import type { ProxyFiles } from './stage.ts';

const instance = '/computeMetadata/v1/instance';
const tokenPath = `${instance}/service-accounts/default/token`;
const projectPath = '/computeMetadata/v1/project/project-id';
const coldStarts = 5;

const { values: options } = parseArgs({
  options: {
    /** How often each case is measured. */
    rounds: { type: 'string', default: '3' },
    /** How long one measurement takes. */
    seconds: { type: 'string', default: '5' },
    /** Folder for a CPU profile of the proxy; figures of such a run are of no use. */
    profile: { type: 'string' },
  },
});

interface Case {
  readonly name: string;
  readonly path: string;
  readonly server: 'proxy' | 'bare';
}

/** The reference is measured beside the case that has a budget. */
const cases: readonly Case[] = [
  { name: 'bare node:http', path: tokenPath, server: 'bare' },
  { name: 'cached token', path: tokenPath, server: 'proxy' },
  { name: 'project-id', path: projectPath, server: 'proxy' },
  { name: 'instance/?recursive=true', path: `${instance}/?recursive=true`, server: 'proxy' },
];

type Measure = (which: Case, seconds: number) => Promise<LoadResult>;

/** All rounds; each has one result per case, in the order of `cases`. */
async function measureRounds(measure: Measure): Promise<readonly (readonly LoadResult[])[]> {
  // The first seconds are the compiler's.
  for (const each of cases) await measure(each, 4);
  const rounds: LoadResult[][] = [];
  for (let round = 0; round < Number(options.rounds); round += 1) {
    const results: LoadResult[] = [];
    for (const each of cases) results.push(await measure(each, Number(options.seconds)));
    rounds.push(results);
  }
  return rounds;
}

/** Ratios are taken within a round, where the machine was the same for both. */
function figuresOf(rounds: readonly (readonly LoadResult[])[]): readonly CaseFigures[] {
  return cases.map(({ name }, index) => {
    const results = rounds.map((round) => round[index]).filter((result) => result !== undefined);
    const middle = (figure: keyof LoadResult): number => median(results.map((result) => result[figure]));
    return {
      name,
      perCpuSecond: middle('perCpuSecond'),
      ratio: median(rounds.map((round) => (round[index]?.perCpuSecond ?? NaN) / (round[0]?.perCpuSecond ?? NaN))),
      p50Ms: middle('p50Ms'),
      p99Ms: middle('p99Ms'),
      requests: results.reduce((sum, { requests }) => sum + requests, 0),
      errors: results.reduce((sum, { errors }) => sum + errors, 0),
    };
  });
}

/** A restart on a node that has a snapshot of its last run: from the start of the process to its first answer. */
async function coldStart(network: Network, files: ProxyFiles, pod: AskingPod): Promise<ColdStart> {
  const startedAt = process.hrtime.bigint();
  const proxy = new ProxyUnderTest(network, files);
  const { answeredAt, status } = await pod.ask(proxyPort, projectPath);
  const cpuMs = cpuMsOfThreads(proxy.pid);
  if (status !== 200) throw new Error(`the first answer has status ${status}`);
  await proxy.isWarm();
  await proxy.stop('SIGKILL');
  return { wallMs: Number(BigInt(answeredAt) - startedAt) / 1e6, cpuMs };
}

async function main(): Promise<void> {
  requireWrk();
  execFileSync(process.execPath, ['operator/cmd/build.ts'], { stdio: ['ignore', 'ignore', 'inherit'] });
  await using network = nodeNetwork();
  const files = await prepare(network);
  const pod = new AskingPod(network);

  const profiling = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];
  const proxy = new ProxyUnderTest(network, files, profiling);
  await proxy.isWarm();
  const token = await pod.ask(proxyPort, tokenPath);
  if (token.status !== 200) throw new Error(`no token, but status ${token.status}: ${token.body}`);
  const bare = new Program(network, 'node', 'bare.ts', nodeAddress, String(barePort), token.body);
  await bare.line();

  const servers = { proxy: { pid: proxy.pid, port: proxyPort }, bare: { pid: bare.pid, port: barePort } };
  const rounds = await measureRounds((each, seconds) =>
    load(network, { ...servers[each.server], host: nodeAddress, path: each.path }, seconds),
  );
  const memory = { proxy: anonymousMiB(proxy.pid), bare: anonymousMiB(bare.pid) };
  await proxy.stop('SIGTERM');

  const starts: ColdStart[] = [];
  for (let start = 0; start < coldStarts; start += 1) starts.push(await coldStart(network, files, pod));
  const allMet = print({ cases: figuresOf(rounds), memory, starts });
  process.exitCode = allMet ? 0 : 1;
}

function requireWrk(): void {
  if (spawnSync('wrk', ['-v']).error === undefined) return;
  throw new Error('wrk is missing; on Debian: apt-get install wrk');
}

await main();
process.exit();
