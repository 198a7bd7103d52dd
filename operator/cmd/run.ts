/**
 * `metaveil run`: the product on loopback from a folder of manifests. Shows what the operator makes of them and what
 * pods get, then serves on and takes over changed files; `--once` ends after the showing.
 */
import { execFile } from 'node:child_process';
import { watch } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fileSamples } from '../adapters/files/load.ts';
import type { PodClientReport } from '../adapters/google/pod-client.ts';
import { appliedLines, hintLines, podLines, resourceLines } from '../cli/run/report.ts';
import type { Observation, PodReport } from '../cli/run/report.ts';
import { storeKinds } from '../core/cluster/kinds.ts';
import type { CustomObject } from '../core/cluster/kinds.ts';
import type { Pod } from '../core/cluster/objects.ts';
import type { ClusterView } from '../core/cluster/store.ts';
import type { CanonicalPath } from '../core/policy/decision.ts';
import { formatProblem, printable } from '../local/problem.ts';
import type { LoadedSamples } from '../local/ports.ts';
import { createLogger, silentLogger } from '../telemetry/log.ts';
import type { Logger } from '../telemetry/log.ts';
import { Embedded } from './embedded.ts';

export interface RunOptions {
  readonly samples: string;
  readonly once: boolean;
}

/** Beside this file, from source and when bundled. */
const podProgram = fileURLToPath(new URL(import.meta.url.replace(/\brun\.(?=[jt]s$)/, 'pod-client.')));

/** How long to wait for conditions to settle before they are printed as they are, in ms. */
const settleMs = 10_000;
const pollMs = 50;
/** Editors write a file in several steps; what they leave behind after this is read, in ms. */
const changeMs = 200;

/** Resolves with the exit status; serves until `stop` aborts unless `once` is set. */
export async function run({ samples, once }: RunOptions, stop: AbortSignal): Promise<number> {
  const loaded = await load(samples);
  if (loaded === undefined) return 1;
  // A person reads this terminal: only what went wrong on our side belongs on it.
  const terminal = createLogger({ component: 'embedded', destination: process.stderr });
  const logger: Logger = { ...silentLogger, error: (event, fields) => terminal.error(event, fields) };
  const embedded = await Embedded.start(loaded, logger);
  try {
    await show(embedded);
    if (!once) await serve(embedded, samples, stop);
    return 0;
  } finally {
    await embedded.stop();
  }
}

async function load(path: string): Promise<LoadedSamples | undefined> {
  const outcome = await fileSamples.load(path);
  if (outcome.kind === 'loaded') return outcome.samples;
  for (const problem of outcome.problems) process.stderr.write(`${formatProblem(problem)}\n`);
  return undefined;
}

async function serve(embedded: Embedded, samples: string, stop: AbortSignal): Promise<void> {
  print('Serving', [
    ...embedded.workloads().flatMap((pod) => addressLines(embedded, pod)),
    `Edit a file in ${samples}: it takes effect at once. End with Ctrl-C.`,
  ]);
  try {
    const changes = watch(samples, { signal: stop })[Symbol.asyncIterator]();
    while (!(await changes.next()).done) await takeOver(embedded, samples);
  } catch (error) {
    if (!stop.aborted) throw error;
  }
}

async function takeOver(embedded: Embedded, samples: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, changeMs));
  const changed = await load(samples);
  if (changed === undefined) {
    process.stderr.write('The files are not valid; the last good ones stay in effect.\n');
    return;
  }
  await embedded.reload(changed);
  await show(embedded);
}

function addressLines(embedded: Embedded, pod: Pod): readonly string[] {
  const port = embedded.portOf(pod);
  return port === undefined ? [] : [`${pod.namespace}/${pod.name}: GCE_METADATA_HOST=127.0.0.1:${port}`];
}

async function show(embedded: Embedded): Promise<void> {
  await settled(embedded.store);
  const resources = customObjects(embedded.store);
  print('Resources', resourceLines(resources));
  print('The operator applies', appliedLines(embedded.objects.objects()));
  if (embedded.grants.length > 0) {
    const grants = embedded.grants.map(({ member, googleServiceAccount }) => `${member} on ${googleServiceAccount}`);
    print('IAM grants taken as made (roles/iam.workloadIdentityUser)', grants);
  }
  const hints = hintLines(resources);
  if (hints.length > 0) print('Not ready', hints);
  for (const pod of demonstrated(embedded)) print('What a pod gets', podLines(await ask(embedded, pod)));
}

/** A bound pod and an unbound one say it all. */
function demonstrated(embedded: Embedded): readonly Pod[] {
  const pods = embedded.workloads().filter((pod) => embedded.portOf(pod) !== undefined);
  const isBound = ({ namespace, serviceAccountName }: Pod) =>
    embedded.store.binding(namespace, serviceAccountName) !== undefined;
  const bound = pods.find(isBound);
  const unbound = pods.find((pod) => !isBound(pod));
  return [bound, unbound].filter((pod) => pod !== undefined);
}

async function ask(embedded: Embedded, pod: Pod): Promise<PodReport> {
  const port = embedded.portOf(pod) ?? 0;
  const account = ['instance', 'service-accounts', 'default'];
  const observations = [
    await askClient(port, embedded, pod, [...account, 'token']),
    await askPath(port, embedded, pod, [...account, 'email']),
    await askPath(port, embedded, pod, ['instance', 'attributes', 'kube-env']),
  ];
  return { pod: `${pod.namespace}/${pod.name}`, serviceAccount: pod.serviceAccountName, observations };
}

async function askClient(port: number, embedded: Embedded, pod: Pod, path: CanonicalPath): Promise<Observation> {
  const here = `127.0.0.1:${port}`;
  const env = {
    PATH: process.env['PATH'],
    GCE_METADATA_HOST: here,
    GCE_METADATA_IP: here,
    GCE_METADATA_ROOT: here,
    METADATA_SERVER_DETECTION: 'assume-present',
  };
  const { stdout } = await promisify(execFile)(process.execPath, [podProgram], { env, timeout: 30_000 });
  const report = JSON.parse(stdout) as PodClientReport;
  const answer =
    report.kind === 'token'
      ? [`access token of ${report.characters} characters (redacted), valid for ${report.expiresInSeconds} s`]
      : report.message.trimEnd().split('\n').map(printable);
  return { question: 'google-auth-library: getAccessToken()', answer, decision: embedded.explain(pod, path) };
}

async function askPath(port: number, embedded: Embedded, pod: Pod, path: CanonicalPath): Promise<Observation> {
  const url = `http://127.0.0.1:${port}/computeMetadata/v1/${path.join('/')}`;
  const reply = await fetch(url, { headers: { 'Metadata-Flavor': 'Google' }, signal: AbortSignal.timeout(10_000) });
  const text = (await reply.text()).trimEnd().split('\n').map(printable);
  return {
    question: `GET ${path.join('/')}`,
    answer: [`${reply.status} ${text[0] ?? ''}`, ...text.slice(1)],
    decision: embedded.explain(pod, path),
  };
}

/** Waits until every object has its conditions for its generation and none is on its way any more. */
async function settled(store: ClusterView): Promise<void> {
  const deadline = Date.now() + settleMs;
  while (Date.now() < deadline && !customObjects(store).every(isSettled)) {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

function isSettled({ metadata, status }: CustomObject): boolean {
  if (status?.observedGeneration !== metadata.generation) return false;
  return !(status?.conditions ?? []).some(({ type, status: value }) => type === 'Reconciling' && value === 'True');
}

function customObjects(store: ClusterView): readonly CustomObject[] {
  return storeKinds.flatMap((kind) => [...store.list(kind)]).filter((object) => 'spec' in object);
}

function print(title: string, lines: readonly string[]): void {
  process.stdout.write(`\n${title}\n${lines.map((line) => `  ${line}\n`).join('')}`);
}
