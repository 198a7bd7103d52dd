import { KubeConfig } from '@kubernetes/client-node';
import { MetaveilError } from '../../core/errors.ts';

/** Where the access to a cluster comes from. */
export type KubeSource =
  { readonly kind: 'file'; readonly path: string; readonly context?: string } | { readonly kind: 'in-cluster' };

/**
 * Reads a kubeconfig file, or the ServiceAccount that Kubernetes mounts into a pod. Never the library's default
 * search: it would fall back to http://localhost:8080 when it finds nothing.
 *
 * @throws {MetaveilError} invalid-configuration; the message never quotes the file, which holds credentials
 */
export function loadKubeConfig(source: KubeSource, env: NodeJS.ProcessEnv): KubeConfig {
  const config = new KubeConfig();
  if (source.kind === 'in-cluster') loadInCluster(config, env);
  else loadFile(config, source.path, source.context);
  refuseUnusable(config);
  return config;
}

function loadInCluster(config: KubeConfig, env: NodeJS.ProcessEnv): void {
  if (!env['KUBERNETES_SERVICE_HOST'] || !env['KUBERNETES_SERVICE_PORT']) {
    throw unusable('KUBERNETES_SERVICE_HOST is not set: this is not a pod; give --kubeconfig FILE');
  }
  config.loadFromCluster();
}

function loadFile(config: KubeConfig, path: string, context: string | undefined): void {
  try {
    config.loadFromFile(path);
  } catch (error) {
    throw unusable(`${path} is not a usable kubeconfig: ${reasonOf(error)}`);
  }
  if (context === undefined) return;
  config.setCurrentContext(context);
  if (config.getContextObject(context) === null) throw unusable(`${path} has no context ${JSON.stringify(context)}`);
}

function refuseUnusable(config: KubeConfig): void {
  const cluster = config.getCurrentCluster();
  if (cluster === null || config.getCurrentUser() === null) {
    throw unusable('the kubeconfig has no current context with a cluster and a user; set current-context');
  }
  if (!/^https?:\/\//.test(cluster.server)) throw unusable('the server of the kubeconfig is not an https:// address');
  if (cluster.server.startsWith('http:') && !cluster.skipTLSVerify) {
    throw unusable('the server of the kubeconfig is http://, which sends credentials in the clear; use https://');
  }
  if (cluster.proxyUrl?.startsWith('socks') === true) {
    throw unusable('proxy-url of the kubeconfig is a SOCKS proxy; only http:// and https:// proxies work');
  }
}

/** js-yaml quotes the offending lines of the file in its message; only the line number is safe. */
function reasonOf(error: unknown): string {
  const { code, mark } = error as { code?: string; mark?: { line?: number } };
  if (mark !== undefined) return `not valid YAML (line ${(mark.line ?? 0) + 1})`;
  return typeof code === 'string' ? code : 'not a kubeconfig';
}

function unusable(message: string): MetaveilError {
  return new MetaveilError('invalid-configuration', message);
}
