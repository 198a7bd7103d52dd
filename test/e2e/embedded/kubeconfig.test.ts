import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../cluster/eventually.ts';
import { kubectlOk } from '../installation.ts';
import { Product, systemNamespace } from '../install/product.ts';

const program = fileURLToPath(new URL('../../../operator/cmd/metaveil.ts', import.meta.url));
let product: Product;

before(async () => (product = await Product.install()));
after(() => product.stop());

const policy = JSON.stringify({
  apiVersion: 'metaveil.dev/v1',
  kind: 'MetadataPolicy',
  metadata: { name: 'hide', namespace: 'default' },
  spec: { conceal: ['instance/attributes/kube-env'] },
});

it('metaveil run --kubeconfig FILE runs the operator against a cluster until it is told to end', async () => {
  const kubeconfig = await product.cluster.kubeconfigFor(systemNamespace, 'metaveil-controller');
  const child = spawn(process.execPath, [program, 'run', '--kubeconfig', kubeconfig], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {},
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await eventually('it leads', () => Promise.resolve(/"event":"controller-leading"/.exec(output)?.[0]));
  await kubectlOk(product.cluster, ['apply', '-f', '-'], policy);
  const wait = ['wait', '--for=condition=Ready', 'mdp/hide', '-n', 'default', '--timeout=20s'];
  assert.match(await kubectlOk(product.cluster, wait), /condition met/);
  const ended = once(child, 'exit') as Promise<[number | null]>;
  child.kill('SIGINT');
  assert.deepEqual((await ended)[0], 0, output);
});
