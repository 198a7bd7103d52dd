/** The same out of a running cluster: read once, with the rights of the person who asks. */
import { KubeClient } from '../adapters/kube/client.ts';
import { contextNamespace, loadKubeConfig } from '../adapters/kube/kubeconfig.ts';
import type { KubeSource } from '../adapters/kube/kubeconfig.ts';
import { readPodFacts } from '../adapters/kube/pod-facts.ts';
import type { PodFacts } from '../adapters/kube/pod-facts.ts';
import type { PodName } from '../cli/ports.ts';
import { podNameOf } from '../cli/question.ts';
import { rightsLines } from '../cli/rights.ts';
import { ClusterStore } from '../core/cluster/store.ts';
import { keyOf } from '../core/cluster/kinds.ts';
import { MetaveilError } from '../core/errors.ts';
import { productVersion } from '../core/names.ts';
import { compileErrors, explainedCluster } from './explained-cluster.ts';
import type { ClusterOutcome, ExplainedOptions } from './explained-cluster.ts';
import { systemTimers } from './system.ts';

/** @param asked pods as a person writes them: `NAMESPACE/NAME` or `NAME` */
export async function clusterFromKube(
  source: KubeSource,
  asked: readonly string[],
  options: ExplainedOptions,
): Promise<ClusterOutcome> {
  try {
    const kubeConfig = loadKubeConfig(source, process.env);
    const namespace = options.namespace ?? contextNamespace(kubeConfig);
    const userAgent = `metaveil/${productVersion} explain`;
    const client = new KubeClient({ kubeConfig, userAgent, timers: systemTimers, random: Math.random });
    try {
      return await readCluster(client, asked, { ...options, namespace });
    } finally {
      await client.close();
    }
  } catch (error) {
    if (error instanceof MetaveilError) return rejected([`${error.message}${hintFor(error, source)}`]);
    throw error;
  }
}

function hintFor({ code }: MetaveilError, source: KubeSource): string {
  return code === 'invalid-configuration' && source.kind === 'default'
    ? ', or --samples DIR to ask about manifests'
    : '';
}

async function readCluster(
  client: KubeClient,
  asked: readonly string[],
  options: ExplainedOptions & { readonly namespace: string },
): Promise<ClusterOutcome> {
  const store = new ClusterStore();
  const names = asked.map((text) => ({ namespace: options.namespace, ...podNameOf(text, undefined) }));
  const facts = await readPodFacts(client, store, distinct(names.filter(isPossible)));
  if (facts.kind !== 'read') return rejected(refusalLines(facts));
  const broken = brokenPolicies(store);
  if (broken.length > 0) return rejected(broken);
  const cluster = explainedCluster(store, options, ({ uid }) => facts.workloads.get(uid) ?? []);
  return { kind: 'loaded', cluster, namespace: options.namespace };
}

function refusalLines(facts: Exclude<PodFacts, { readonly kind: 'read' }>): readonly string[] {
  if (facts.kind === 'forbidden') return rightsLines(facts.missing);
  const [resources, fix] = [facts.resources.join(', '), 'install Metaveil, or give --samples DIR to ask about files'];
  return [`the cluster does not know ${resources}; ${fix}`];
}

/** Nodes go on with its last good version, which only the controller has. */
function brokenPolicies(store: ClusterStore): readonly string[] {
  return [...store.list('MetadataPolicy'), ...store.clusterPolicies()].flatMap((policy) => {
    const name = `${policy.kind} ${keyOf(policy)}`;
    return compileErrors(policy).map(
      (what) => `${name}: ${what}; nodes keep its last good version, so correct it first`,
    );
  });
}

function rejected(lines: readonly string[]): ClusterOutcome {
  return { kind: 'rejected', lines };
}

const nameForm = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** No object has any other name, so nothing needs to be asked. */
function isPossible({ namespace, name }: PodName): boolean {
  return nameForm.test(namespace) && nameForm.test(name);
}

function distinct(names: readonly PodName[]): readonly PodName[] {
  return [...new Map(names.map((name) => [`${name.namespace}/${name.name}`, name])).values()];
}
