/** The product on a real control plane: installed with kubectl, its controller a process of its own under its own ServiceAccount. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { startGoogleEmulator } from '../../operator/local/google/emulator.ts';
import type { GoogleEmulator } from '../../operator/local/google/emulator.ts';
import type { ClusterAccess } from '../cluster/access.ts';
import { eventually } from '../cluster/eventually.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const program = fileURLToPath(new URL('../../operator/cmd/controller.ts', import.meta.url));
const namespace = 'metaveil-system';

/** `kubectl apply -k config/default`, as the README says. The Deployment stays without pods: no kubelet runs here. */
export async function installProduct(cluster: ClusterAccess): Promise<void> {
  await kubectlOk(cluster, ['apply', '--server-side', '-k', `${repository}config/default`]);
  await kubectlOk(cluster, ['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
}

/** Runs kubectl and fails with what it said. */
export async function kubectlOk(cluster: ClusterAccess, args: readonly string[], stdin?: string): Promise<string> {
  const { code, stdout, stderr } = await cluster.kubectl(args, stdin === undefined ? {} : { stdin });
  assert.equal(code, 0, `kubectl ${args.join(' ')}\n${stdout}\n${stderr}`);
  return stdout;
}

export interface ControllerOptions {
  readonly podName?: string;
  /** Default: made for the controller's ServiceAccount, which takes an API server that answers. */
  readonly kubeconfig?: string;
  /** Further flags. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** One replica of the controller. Its log lines are kept for assertions. */
export class ControllerProcess {
  readonly #child: ChildProcess;
  readonly port: number;
  readonly #plain: { readonly health: number; readonly metrics: number };
  readonly lines: string[] = [];
  /** What it wrote to standard error: nothing, unless it or Node went wrong. */
  readonly complaints: string[] = [];

  static async start(cluster: ClusterAccess, options: ControllerOptions = {}): Promise<ControllerProcess> {
    const kubeconfig = options.kubeconfig ?? (await cluster.kubeconfigFor(namespace, 'metaveil-controller'));
    const [port, healthPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
    const flags = [
      ...['--kubeconfig', kubeconfig, '--namespace', namespace],
      ...['--listen', `127.0.0.1:${port}`, '--advertise', `127.0.0.1:${port}`],
      ...['--health-listen', `127.0.0.1:${healthPort}`, '--metrics-listen', `127.0.0.1:${metricsPort}`],
      ...(options.flags ?? ['--allow-insecure-endpoints']),
    ];
    // Nothing of the caller's environment: a proxy or a kubeconfig there is none of the controller's business.
    const env = { PATH: process.env['PATH'], POD_NAME: options.podName ?? 'metaveil-controller-0', ...options.env };
    const child = spawn(process.execPath, [program, ...flags], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    return new ControllerProcess(child, port, { health: healthPort, metrics: metricsPort });
  }

  private constructor(child: ChildProcess, port: number, plain: { readonly health: number; readonly metrics: number }) {
    this.#child = child;
    this.port = port;
    this.#plain = plain;
    collectLines(child.stdout, this.lines);
    collectLines(child.stderr, this.complaints);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  logged(event: string): readonly Readonly<Record<string, unknown>>[] {
    return this.lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line['event'] === event);
  }

  async ready(): Promise<void> {
    await eventually('the controller is ready', async () => {
      assert.equal(
        this.#child.exitCode,
        null,
        `the controller ended:\n${[...this.lines, ...this.complaints].join('\n')}`,
      );
      const reply = await fetch(`http://127.0.0.1:${this.#plain.health}/readyz`).catch(() => undefined);
      return reply?.status === 200 ? true : undefined;
    });
  }

  /** What Prometheus gets. */
  async metrics(): Promise<string> {
    const reply = await fetch(`http://127.0.0.1:${this.#plain.metrics}/metrics`);
    assert.equal(reply.status, 200);
    return reply.text();
  }

  async leading(): Promise<void> {
    await eventually('the controller leads', () => Promise.resolve(this.logged('controller-leading')[0]));
  }

  /** Ends it and resolves with its exit status; null after SIGKILL. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode;
    const ended = once(this.#child, 'exit') as Promise<[number | null]>;
    this.#child.kill(signal);
    return (await ended)[0];
  }
}

function collectLines(stream: Readable | null, lines: string[]): void {
  let rest = '';
  stream?.setEncoding('utf8').on('data', (text: string) => {
    const found = (rest + text).split('\n');
    rest = found.pop() ?? '';
    lines.push(...found);
  });
}

/** A port that was free a moment ago: two processes need to know it before either listens. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export const poolProvider = 'projects/123456789012/locations/global/workloadIdentityPools/metaveil/providers/cluster';

/** Google for a cluster: trusts its issuer and keys, and has the samples' provider. */
export async function startGoogle(cluster: ClusterAccess): Promise<GoogleEmulator> {
  const google = await startGoogleEmulator();
  const keys = JSON.parse(await kubectlOk(cluster, ['get', '--raw', '/openid/v1/jwks'])) as { keys: [] };
  google.trustIssuer(cluster.issuer, keys);
  google.addProvider({ name: poolProvider, issuer: cluster.issuer });
  return google;
}

/** The provider `default` with its endpoints at the emulator. */
export function providerManifest(google: GoogleEmulator): string {
  return JSON.stringify({
    apiVersion: 'metaveil.dev/v1',
    kind: 'WorkloadIdentityProvider',
    metadata: { name: 'default' },
    spec: {
      type: 'WorkloadIdentityFederation',
      provider: poolProvider,
      stsEndpoint: google.stsEndpoint,
      iamCredentialsEndpoint: google.iamCredentialsEndpoint,
    },
  });
}

export function principalOf(serviceAccount: string, namespaceName = 'metaveil-samples'): string {
  const pool = 'projects/123456789012/locations/global/workloadIdentityPools/metaveil';
  return `principal://iam.googleapis.com/${pool}/subject/system:serviceaccount:${namespaceName}:${serviceAccount}`;
}
