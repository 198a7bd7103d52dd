/**
 * Runs one cluster for many test processes:
 *
 *   node test/cluster/serve.ts FILE
 *
 * When the cluster is ready, its description is in FILE (for METAVEIL_TEST_CLUSTER) and FILE's name on standard
 * output. The cluster lives until standard input closes, so it cannot outlive whoever started it.
 */
import { once } from 'node:events';
import { rename, rm, writeFile } from 'node:fs/promises';
import { startCluster } from './cluster.ts';

const [file] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write('usage: node test/cluster/serve.ts FILE\n');
  process.exit(2);
}

process.stdin.resume();
const released = once(process.stdin, 'close');

const cluster = await startCluster();
// By rename, so that whoever waits for the file never reads half of it. It holds the admin's token.
await writeFile(`${file}.new`, JSON.stringify(cluster.describe(), undefined, 2), { mode: 0o600 });
await rename(`${file}.new`, file);
process.stdout.write(`${file}\n`);

await released;
await rm(file, { force: true });
await cluster.stop();
