import { readFileSync } from 'node:fs';
import { after } from 'node:test';
import { openAccess, type ClusterAccess, type ClusterDescription } from './access.ts';
import { startProductCluster, type Cluster } from './cluster.ts';

let own: Promise<Cluster> | undefined;
let attached: ClusterAccess | undefined;

// At the top of the module, so that it belongs to the test file as a whole and not to the test that asked first.
after(async () => {
  await attached?.api.close();
  await (await own?.catch(() => undefined))?.stop();
});

/**
 * A cluster with the product's CRDs that all tests of this run share: the one METAVEIL_TEST_CLUSTER describes
 * (JSON, or the path of a file with it; see serve.ts), else one of this process, started by the first call and
 * stopped after the last test.
 *
 * Whoever shares must use namespaces and node names of its own, and cannot stop anything: a test of outages calls
 * startCluster() itself.
 */
export async function sharedCluster(): Promise<ClusterAccess> {
  const described = process.env['METAVEIL_TEST_CLUSTER'];
  if (described !== undefined && described !== '') {
    attached ??= openAccess(readDescription(described));
    return attached;
  }
  own ??= startProductCluster();
  return own;
}

function readDescription(value: string): ClusterDescription {
  const text = value.startsWith('{') ? value : readFileSync(value, 'utf8');
  return JSON.parse(text) as ClusterDescription;
}
