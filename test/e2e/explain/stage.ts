/** The samples on a cluster with a real proxy, and the same samples in a folder: one question, three answers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../cluster/eventually.ts';
import { Nodes, Pods } from '../../cluster/kinds.ts';
import { bindAndRun } from '../../cluster/pods.ts';
import { kubectlOk, principalOf, providerManifest } from '../installation.ts';
import { TenantPod } from '../nodes/pod.ts';
import { emailOf, Site, workloadIdentityUser } from '../nodes/site.ts';

const program = fileURLToPath(new URL('../../../operator/cmd/metaveil.ts', import.meta.url));
const samples = fileURLToPath(new URL('../../../samples', import.meta.url));
export const namespace = 'metaveil-samples';
export const nodeName = 'node-a';

export interface Output {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the verb as a person does; the test flag is that of the controller, because Google is an emulator on http. */
export async function metaveil(arguments_: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Output> {
  const [verb = '', ...rest] = arguments_;
  const child = spawn(process.execPath, [program, verb, '--allow-insecure-endpoints', ...rest], {
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

export function podManifest(name: string, spec: object = {}, labels: object = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: { containers: [{ name: 'main', image: 'none', securityContext }], ...podSecurity, ...spec },
  };
}

const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
const podSecurity = {
  securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
};

/** Beside the pods of the samples: one for every policy that selects by labels. */
const morePods = [
  podManifest('pipeline', { serviceAccountName: 'pipeline' }, { app: 'pipeline' }),
  podManifest('archive', { serviceAccountName: 'archive' }, { app: 'pipeline', debug: 'on' }),
  podManifest('agent', { serviceAccountName: 'visitor' }, { app: 'agent' }),
  podManifest('exposed', { serviceAccountName: 'visitor' }, { 'metaveil.dev/workload-metadata': 'exposed' }),
  podManifest('secure', { serviceAccountName: 'reports' }, { 'metaveil.dev/workload-metadata': 'secure' }),
];
export const podNames = ['reports', 'visitor', 'pipeline', 'archive', 'agent', 'exposed', 'secure'] as const;

export class Stage implements AsyncDisposable {
  readonly site: Site;
  readonly manifests: string;
  readonly pods = new Map<string, TenantPod>();

  static async open(): Promise<Stage> {
    const site = await Site.open([nodeName]);
    const stage = new Stage(site);
    try {
      await stage.#fill();
      return stage;
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(site: Site) {
    this.site = site;
    this.manifests = join(site.segment.folder, 'manifests');
  }

  /** Writes a file into the stage's own folder. */
  async file(name: string, text: string): Promise<string> {
    const path = join(this.site.segment.folder, name);
    await writeFile(path, text);
    return path;
  }

  /** A folder with the plugin that `kubectl metaveil` runs. */
  async plugin(): Promise<string> {
    const folder = join(this.site.segment.folder, 'bin');
    await mkdir(folder, { recursive: true });
    const path = join(folder, 'kubectl-metaveil');
    await writeFile(path, `#!/bin/sh\nexec ${process.execPath} ${program} "$@"\n`);
    await chmod(path, 0o755);
    return folder;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pod of this.pods.values()) pod.stop();
    await this.site[Symbol.asyncDispose]();
  }

  async #fill(): Promise<void> {
    const { site } = this;
    await this.#copySamples();
    await site.startLeader();
    for (const account of ['reports', 'pipeline']) {
      site.google.grant(emailOf(account), workloadIdentityUser, principalOf(account, namespace));
    }
    const node = await site.addNode(nodeName);
    await site.cluster.api.patch(Nodes, { name: nodeName }, { metadata: { labels: { pool: 'web' } } });
    await kubectlOk(site.cluster, ['apply', '-f', this.manifests]);
    await node.startProxy();
    for (const name of podNames) await this.#runPod(name);
    const job = await eventually('the Job has its pod', async () => {
      const pods = await site.cluster.api.list(Pods, { namespace, labelSelector: 'job-name=whoami' });
      return pods[0]?.metadata.name;
    });
    await this.#runPod(job);
  }

  /** The provider is the emulator's: no test may ever ask the real Google. */
  async #copySamples(): Promise<void> {
    await mkdir(this.manifests);
    for (const name of await readdir(samples)) {
      if (name.endsWith('.yaml') && !name.includes('provider')) {
        await cp(join(samples, name), join(this.manifests, name));
      }
    }
    await writeFile(join(this.manifests, '10-provider.yaml'), providerManifest(this.site.google));
    const documents = morePods.map((pod) => JSON.stringify(pod));
    await writeFile(join(this.manifests, '80-more-pods.yaml'), documents.join('\n---\n'));
  }

  async #runPod(name: string): Promise<void> {
    const { cluster, nodes, segment } = this.site;
    const place = segment.attach(nodeName);
    const { metadata } = await bindAndRun(cluster, { name, namespace }, { node: nodeName, podIP: place.ip });
    const server = nodes[0]?.server ?? { host: '', port: 0 };
    this.pods.set(name, new TenantPod({ name, namespace, uid: metadata.uid }, segment, place.namespace, server));
  }
}
