import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TokenRequest } from 'kubernetes-types/authentication/v1.js';
import { Api, objectPath, type Ref } from './api.ts';
import { ServiceAccounts } from './kinds.ts';

/** Everything another process needs to use a running cluster; plain JSON. */
export interface ClusterDescription {
  /** https://127.0.0.1:port */
  readonly server: string;
  readonly issuer: string;
  /** The cluster's own temporary folder: logs, CA, kubeconfigs. */
  readonly folder: string;
  readonly caPath: string;
  readonly kubeconfigPath: string;
  readonly adminToken: string;
  /** Absolute path of a kubectl of the server's version. */
  readonly kubectlProgram: string;
  /** Whether kube-scheduler runs; if not, tests bind pods themselves. */
  readonly scheduler: boolean;
}

export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface KubectlOptions {
  readonly stdin?: string;
  /** Default: the admin's. */
  readonly kubeconfig?: string;
  readonly cwd?: string;
  /** Added to a minimal environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default 60 s. */
  readonly timeoutMs?: number;
}

export interface TokenOptions {
  /** Default: the API server's own. */
  readonly audiences?: readonly string[];
  /** At least 600; default 3600. */
  readonly expirationSeconds?: number;
  /** The pod to bind the token to, as a projected volume would. */
  readonly pod?: { readonly name: string; readonly uid: string };
}

/** A running cluster as its users see it; who may stop it holds a Cluster (cluster.ts). */
export interface ClusterAccess extends ClusterDescription {
  /** Acts as cluster-admin. */
  readonly api: Api;
  /** Runs kubectl; a failure is a result, not an exception. */
  kubectl(args: readonly string[], options?: KubectlOptions): Promise<KubectlResult>;
  /** A fresh token of the ServiceAccount from a real TokenRequest. */
  token(serviceAccount: Ref, options?: TokenOptions): Promise<string>;
  /** Writes a kubeconfig that acts as the ServiceAccount for one hour, and returns its path. */
  kubeconfigFor(namespace: string, serviceAccount: string): Promise<string>;
  /** A client that sends this token instead of the admin's. Close it. */
  apiAs(token: string): Api;
  describe(): ClusterDescription;
}

/** Opens access to a running cluster. Its `api` is closed by whoever made it. */
export function openAccess(description: ClusterDescription): ClusterAccess {
  const ca = readFileSync(description.caPath, 'utf8');
  const api = new Api(description.server, ca, description.adminToken);
  const token = (account: Ref, options: TokenOptions = {}) => requestToken(api, account, options);
  return {
    ...description,
    api,
    token,
    kubectl: (args, options = {}) => runKubectl(description, args, options),
    kubeconfigFor: async (namespace, name) => {
      const path = join(description.folder, `kubeconfig-${namespace}-${name}-${randomUUID()}`);
      await writeFile(path, kubeconfig(description, await token({ namespace, name })), { mode: 0o600 });
      return path;
    },
    apiAs: (bearer) => new Api(description.server, ca, bearer),
    describe: () => description,
  };
}

/** Writes the admin's kubeconfig to the place the description names. */
export function writeAdminKubeconfig(description: ClusterDescription): void {
  writeFileSync(description.kubeconfigPath, kubeconfig(description, description.adminToken), { mode: 0o600 });
}

/** The text of a kubeconfig (JSON, which every reader of kubeconfigs takes as YAML). */
export function kubeconfig(cluster: Pick<ClusterDescription, 'server' | 'caPath'>, token: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: cluster.server, 'certificate-authority': cluster.caPath } }],
    users: [{ name: 'user', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'user' } }],
    'current-context': 'test',
  });
}

async function requestToken(api: Api, account: Ref, options: TokenOptions): Promise<string> {
  const { pod, audiences, expirationSeconds = 3600 } = options;
  const spec = {
    expirationSeconds,
    ...(audiences && { audiences }),
    ...(pod && { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod.name, uid: pod.uid } }),
  };
  const reply = (await api.send({
    method: 'POST',
    path: objectPath(ServiceAccounts, account, 'token'),
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec },
  })) as TokenRequest;
  const token = reply.status?.token;
  if (token === undefined) throw new Error(`the TokenRequest for ${account.name} was answered without a token`);
  return token;
}

function runKubectl(
  cluster: ClusterDescription,
  args: readonly string[],
  options: KubectlOptions,
): Promise<KubectlResult> {
  const env = {
    PATH: process.env['PATH'],
    // kubectl keeps discovery under HOME by server address; two clusters may get the same port one after the other.
    HOME: cluster.folder,
    KUBECONFIG: options.kubeconfig ?? cluster.kubeconfigPath,
    ...options.env,
  };
  const limits = { maxBuffer: 64 << 20, timeout: options.timeoutMs ?? 60_000, killSignal: 'SIGKILL' as const };
  return new Promise((resolve, reject) => {
    const child = execFile(
      cluster.kubectlProgram,
      [...args],
      { env, cwd: options.cwd ?? process.cwd(), ...limits },
      (error, stdout, stderr) => {
        // Not an exit status: it could not be started, or was killed at the time-out.
        const code = error === null ? 0 : error.code;
        if (typeof code === 'number') resolve({ code, stdout, stderr });
        else reject(new Error(`kubectl ${args.join(' ')} did not run to its end: ${stderr}`, { cause: error }));
      },
    );
    // kubectl may end before it has read its input; what matters then is its exit status.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.stdin ?? '');
  });
}
