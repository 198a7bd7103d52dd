/**
 * One cluster for many test processes: the test runner calls serveCluster(); by hand,
 *
 *   node test/cluster/serve.ts
 *
 * prints the path of its description (for METAVEIL_TEST_CLUSTER) when it is ready, and stops when standard input
 * closes, so that it cannot outlive whoever started it.
 */
import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startProductCluster } from './cluster.ts';

export interface ServedCluster {
  /** The file that METAVEIL_TEST_CLUSTER has to name; it holds the admin's token and goes with the cluster. */
  readonly descriptionPath: string;
  readonly kubeconfigPath: string;
  stop(): Promise<void>;
}

/** Starts a cluster with the product's CRDs in this process, for others to share. */
export async function serveCluster(): Promise<ServedCluster> {
  const cluster = await startProductCluster();
  const descriptionPath = join(cluster.folder, 'description.json');
  // By rename, so that whoever waits for the file never reads half of it.
  await writeFile(`${descriptionPath}.new`, JSON.stringify(cluster.describe(), undefined, 2), { mode: 0o600 });
  await rename(`${descriptionPath}.new`, descriptionPath);
  return { descriptionPath, kubeconfigPath: cluster.kubeconfigPath, stop: () => cluster.stop() };
}

if (import.meta.main) {
  process.stdin.resume();
  const released = once(process.stdin, 'close');
  const served = await serveCluster();
  process.stdout.write(`${served.descriptionPath}\n`);
  await released;
  await served.stop();
}
