import { randomBytes } from 'node:crypto';
import { KubeClient } from '../../operator/adapters/kube/client.ts';
import { loadKubeConfig } from '../../operator/adapters/kube/kubeconfig.ts';
import type { Timers } from '../../operator/core/time.ts';
import type { ClusterAccess } from '../cluster/access.ts';
import { Namespaces } from '../cluster/kinds.ts';

export const realTimers: Timers = {
  now: () => Date.now(),
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return () => {
      clearTimeout(timer);
    };
  },
};

/** The product's own client, with the rights of that kubeconfig. Close it. */
export function clientOf(kubeconfigPath: string): KubeClient {
  return new KubeClient({
    kubeConfig: loadKubeConfig({ kind: 'file', path: kubeconfigPath }, {}),
    userAgent: 'metaveil/test',
    timers: realTimers,
    random: Math.random,
  });
}

/** A namespace of this test's own: the cluster may be shared. */
export async function newNamespace(cluster: ClusterAccess, purpose: string): Promise<string> {
  const name = `${purpose}-${randomBytes(4).toString('hex')}`;
  await cluster.api.create(Namespaces, { metadata: { name } });
  return name;
}

/** Installs our kinds; doing it twice changes nothing. */
export async function installKinds(cluster: ClusterAccess): Promise<void> {
  const applied = await cluster.kubectl(['apply', '--server-side', '--force-conflicts', '-k', 'crds']);
  if (applied.code !== 0) throw new Error(`the CRDs cannot be installed: ${applied.stderr}`);
  const established = ['wait', '--for=condition=Established', '--timeout=20s', 'crd', '--all'];
  const waited = await cluster.kubectl(established);
  if (waited.code !== 0) throw new Error(`the CRDs are not served: ${waited.stderr}`);
}
