import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { MetaveilError } from '../../core/errors.ts';

/** Where the access to a cluster comes from. */
export type KubeSource =
  | { readonly kind: 'file'; readonly path: string; readonly context?: string }
  /** Where kubectl looks: KUBECONFIG, which may name several files, else ~/.kube/config, else the pod we run in. */
  | { readonly kind: 'default'; readonly context?: string }
  | { readonly kind: 'in-cluster' };

/**
 * Reads a kubeconfig file, or the ServiceAccount that Kubernetes mounts into a pod. Never the library's default
 * search: it would fall back to http://localhost:8080 when it finds nothing.
 *
 * @throws {MetaveilError} invalid-configuration; the message never quotes the file, which holds credentials
 */
export function loadKubeConfig(source: KubeSource, env: NodeJS.ProcessEnv): KubeConfig {
  const config = new KubeConfig();
  switch (source.kind) {
    case 'in-cluster':
      loadInCluster(config, env);
      break;
    case 'default':
      loadDefault(config, source.context, env);
      break;
    case 'file':
      loadFile(config, source.path);
      useContext(config, source.context, source.path);
  }
  refuseUnusable(config);
  return config;
}

/** The namespace that is meant where none is named. */
export function contextNamespace(config: KubeConfig): string {
  return config.getContextObject(config.getCurrentContext())?.namespace?.trim() || 'default';
}

function loadInCluster(config: KubeConfig, env: NodeJS.ProcessEnv): void {
  if (!env['KUBERNETES_SERVICE_HOST'] || !env['KUBERNETES_SERVICE_PORT']) {
    throw unusable('KUBERNETES_SERVICE_HOST is not set: this is not a pod; give --kubeconfig FILE');
  }
  config.loadFromCluster();
}

function loadDefault(config: KubeConfig, context: string | undefined, env: NodeJS.ProcessEnv): void {
  const paths = defaultPaths(env);
  const present = paths.filter((path) => existsSync(path));
  if (present.length > 0) {
    loadMerged(config, present);
    useContext(config, context, present.join(delimiter));
  } else if (env['KUBERNETES_SERVICE_HOST'] && context === undefined) {
    loadInCluster(config, env);
  } else {
    throw unusable(`there is no kubeconfig at ${paths.join(delimiter) || '~/.kube/config'}; give --kubeconfig FILE`);
  }
}

function defaultPaths(env: NodeJS.ProcessEnv): readonly string[] {
  const named = (env['KUBECONFIG'] ?? '').split(delimiter).filter((path) => path !== '');
  if (named.length > 0) return named;
  return env['HOME'] ? [join(env['HOME'], '.kube', 'config')] : [];
}

/** As kubectl merges: of what two files have under one name, the first file's counts. */
function loadMerged(config: KubeConfig, paths: readonly string[]): void {
  const parts = paths.map((path) => {
    const part = new KubeConfig();
    loadFile(part, path);
    return part;
  });
  config.loadFromOptions({
    clusters: firstByName(parts.flatMap(({ clusters }) => clusters)),
    users: firstByName(parts.flatMap(({ users }) => users)),
    contexts: firstByName(parts.flatMap(({ contexts }) => contexts)),
    currentContext: parts.find(({ currentContext }) => currentContext)?.currentContext ?? '',
  });
}

function firstByName<T extends { readonly name: string }>(items: readonly T[]): readonly T[] {
  return items.filter((item, index) => items.findIndex(({ name }) => name === item.name) === index);
}

function loadFile(config: KubeConfig, path: string): void {
  try {
    config.loadFromFile(path);
  } catch (error) {
    throw unusable(`${path} is not a usable kubeconfig: ${reasonOf(error)}`);
  }
}

function useContext(config: KubeConfig, context: string | undefined, path: string): void {
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
