/**
 * `npm run bench`: what the proxy costs beside bare node:http, on this machine, now. Needs root, iproute2 and wrk.
 *
 * The bundled proxy serves a pod in a network namespace of its own, with the real node API behind it. Cases take turns,
 * and for its ratio each is under load in the same seconds as the reference, so that other work on the machine meets
 * both alike.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { defaultResources } from '../../operator/controllers/proxies/pod-template.ts';
import { eventually } from '../cluster/eventually.ts';
import { nodeNetwork } from '../netns/topology.ts';
import type { Network } from '../netns/network.ts';
import { anonymousMiB, cpuMsOfThreads, load, median, wrk } from './measure.ts';
import type { LoadResult, Target } from './measure.ts';
import { MemoryLimit } from './memory-limit.ts';
import { print } from './print.ts';
import type { CaseFigures, ColdStart, Figures } from './print.ts';
import { projects } from './snapshot.ts';
import type { NodeState } from './snapshot.ts';
import { AskingPod, barePort, NodeApi, nodeAddress, prepare, proxyPort, ProxyUnderTest, startBare } from './stage.ts';
import type { ProxyFiles } from './stage.ts';

const instance = '/computeMetadata/v1/instance';
const account = `${instance}/service-accounts/default`;
const tokenPath = `${account}/token`;
const projectPath = '/computeMetadata/v1/project/project-id';
const documentPath = `${instance}/?recursive=true`;
const coldStarts = 5;
/** Of one case; half of them each where two are under load. */
const connections = 32;

const { values: options } = parseArgs({
  options: {
    /** How often each case is measured. */
    rounds: { type: 'string', default: '15' },
    /** How long one measurement takes. */
    seconds: { type: 'string', default: '1' },
    /** How long the mixed load before the measurement of memory takes. */
    soak: { type: 'string', default: '60' },
    /** Folder for a CPU profile of the proxy; figures of such a run are of no use. */
    profile: { type: 'string' },
  },
});

interface Case {
  readonly name: string;
  readonly path: string;
  readonly server: 'proxy' | 'bare';
  readonly platform: NodeState['platform'];
}

const reference: Case = { name: 'bare node:http', path: tokenPath, server: 'bare', platform: 'None' };
const cases: readonly Case[] = [
  reference,
  { name: 'cached token', path: tokenPath, server: 'proxy', platform: 'None' },
  { name: 'project-id', path: projectPath, server: 'proxy', platform: 'None' },
  { name: 'instance/?recursive=true', path: documentPath, server: 'proxy', platform: 'None' },
  { name: 'project-id, passed through', path: projectPath, server: 'proxy', platform: 'GCE' },
];

/** One case in one round. */
interface Measurement {
  /** Of the case alone. */
  readonly alone: LoadResult;
  /** Requests per CPU-second of the case against the reference, both under load at the same time. */
  readonly ratio: number;
}

interface Measure {
  readonly alone: (which: Case, seconds: number) => Promise<LoadResult>;
  readonly besideBare: (which: Case, seconds: number) => Promise<number>;
}

/** Cases in turns, so that a while in which the machine is slow meets all of them; the list has the rounds of each. */
async function measureCases(turns: readonly Case[], { alone, besideBare }: Measure): Promise<readonly Measurement[][]> {
  // The first seconds are the compiler's, and it compiles again what meets the next case's objects.
  for (const each of [...turns, ...turns]) await alone(each, 3);
  const seconds = Number(options.seconds);
  const measured = turns.map((): Measurement[] => []);
  for (let round = 0; round < Number(options.rounds); round += 1) {
    for (const [index, each] of turns.entries()) {
      const ratio = each.server === 'bare' ? 1 : await besideBare(each, seconds);
      measured[index]?.push({ alone: await alone(each, seconds), ratio });
    }
  }
  return measured;
}

/** What a node's pods ask, in turns: tokens, also of other scopes, values, listings and documents. */
const mixedPaths = [
  ...['/', tokenPath, `${tokenPath}?scopes=openid`, `${tokenPath}?scopes=openid,email`, `${account}/email`],
  ...[`${account}/?recursive=true`, `${account}/identity?audience=https://a.example`, `${instance}/`],
  ...[`${instance}/id`, documentPath, projectPath, '/computeMetadata/v1/universe/universe-domain'],
];

/**
 * Mixed load on kept and on new connections, and refusals, while pods, bindings and policies change every second, tokens
 * are fetched anew, and the values come from here and from the node's own server in turns. Returns the requests that
 * should have been answered and were not.
 */
async function soak(network: Network, nodeApi: NodeApi, seconds: number): Promise<number> {
  const target = { host: nodeAddress, port: proxyPort, path: tokenPath };
  const concealed = { ...target, path: `${instance}/attributes/ssh-keys` };
  const [kept, fresh, refused] = [
    wrk(network, target, { seconds, connections: 16, paths: mixedPaths }),
    wrk(network, target, { seconds, connections: 8, paths: mixedPaths, headers: ['Connection: close'] }),
    wrk(network, concealed, { seconds, connections: 2 }),
  ];
  for (let second = 1; second < seconds; second += 1) {
    await delay(1_000);
    nodeApi.churn();
    if (second % 10 === 0) nodeApi.change({ platform: second % 20 === 0 ? 'None' : 'GCE' });
  }
  const [one, other, third] = await Promise.all([kept, fresh, refused]);
  if (third.refused !== third.requests) throw new Error('a concealed path was answered');
  return one.failed + one.refused + other.failed + other.refused + third.failed;
}

function figuresOf(measurements: readonly (readonly Measurement[])[]): readonly CaseFigures[] {
  return cases.map(({ name }, index) => {
    const measured = measurements[index] ?? [];
    const results = measured.map(({ alone }) => alone);
    const middle = (figure: keyof LoadResult): number => median(results.map((result) => result[figure]));
    return {
      name,
      perCpuSecond: middle('perCpuSecond'),
      ratios: measured.map(({ ratio }) => ratio),
      p50Ms: middle('p50Ms'),
      p99Ms: middle('p99Ms'),
      requests: results.reduce((sum, { requests }) => sum + requests, 0),
      errors: results.reduce((sum, { errors }) => sum + errors, 0),
    };
  });
}

/** A restart on a node that has a snapshot of its last run: from the start of the process to its first answer. */
async function coldStart({ network, files, pod, limit }: Stage): Promise<ColdStart> {
  const startedAt = process.hrtime.bigint();
  const proxy = new ProxyUnderTest(network, files, limit);
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
  using limit = new MemoryLimit(`metaveil-bench-${process.pid}`, defaultResources.limits.memory);
  await using network = nodeNetwork();
  const nodeApi = new NodeApi(network);
  const stage = { network, nodeApi, files: await prepare(network, nodeApi), pod: new AskingPod(network), limit };
  const { measurements, memory, failures } = await measure(stage);
  const starts: ColdStart[] = [];
  for (let start = 0; start < coldStarts; start += 1) starts.push(await coldStart(stage));
  const allMet = print({ cases: figuresOf(measurements), memory, starts, failures, kills: limit.kills() });
  process.exitCode = allMet ? 0 : 1;
}

interface Stage {
  readonly network: Network;
  readonly nodeApi: NodeApi;
  readonly files: ProxyFiles;
  readonly pod: AskingPod;
  readonly limit: MemoryLimit;
}

interface Measured extends Pick<Figures, 'memory' | 'failures'> {
  /** Of each case, in the order of `cases`. */
  readonly measurements: readonly (readonly Measurement[])[];
}

async function measure({ network, nodeApi, files, pod, limit }: Stage): Promise<Measured> {
  const profiling = options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`];
  const proxy = new ProxyUnderTest(network, files, limit, profiling);
  await proxy.isWarm();
  const token = await pod.ask(proxyPort, tokenPath);
  if (token.status !== 200) throw new Error(`no token, but status ${token.status}: ${token.body}`);
  using bareLimit = new MemoryLimit(`metaveil-bench-bare-${process.pid}`, defaultResources.limits.memory);
  const bare = await startBare(network, files, bareLimit, token.body);
  const servers = { proxy: { pid: proxy.pid, port: proxyPort }, bare: { pid: bare.pid, port: barePort } };
  const target = ({ server, path }: Case): Target => ({ ...servers[server], host: nodeAddress, path });
  const measurements: Measurement[][] = [];
  // A node has one platform for as long as it lives.
  for (const platform of ['None', 'GCE'] as const) {
    await serveFrom(platform, nodeApi, pod);
    const turns = cases.filter((each) => each.platform === platform);
    measurements.push(...(await measureCases(turns, measureWith(network, target))));
  }
  const afterLoad = anonymousMiB(proxy.pid);
  const failures = await soak(network, nodeApi, Number(options.soak));
  const memory = { afterLoad, proxy: anonymousMiB(proxy.pid), bare: anonymousMiB(bare.pid) };
  await serveFrom('None', nodeApi, pod);
  await bare.stop();
  await proxy.stop('SIGTERM');
  return { measurements, memory, failures };
}

function measureWith(network: Network, target: (which: Case) => Target): Measure {
  return {
    alone: (each, seconds) => load(network, target(each), { seconds, connections }),
    besideBare: async (each, seconds) => {
      const how = { seconds, connections: connections / 2 };
      const both = () =>
        Promise.all([load(network, target(each), how), load(network, target(reference), how)] as const);
      // The one that had nothing to do a moment ago would begin at a disadvantage.
      await both();
      const [{ perCpuSecond }, bareResult] = await both();
      return perCpuSecond / bareResult.perCpuSecond;
    },
  };
}

/** Switches the node's platform and waits until the proxy has it. */
async function serveFrom(platform: NodeState['platform'], nodeApi: NodeApi, pod: AskingPod): Promise<void> {
  nodeApi.change({ platform });
  await eventually(`the proxy serves platform ${platform}`, async () => {
    const { body } = await pod.ask(proxyPort, projectPath);
    return body === projects[platform] ? true : undefined;
  });
}

function requireWrk(): void {
  if (spawnSync('wrk', ['-v']).error === undefined) return;
  throw new Error('wrk is missing; on Debian: apt-get install wrk');
}

await main();
process.exit();
