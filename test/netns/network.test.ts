import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { eventually } from '../cluster/eventually.ts';
import { Network } from './network.ts';
import { metadataServer, nodeNetwork } from './topology.ts';

const namespaces = (): string => execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' });

/** What the other tests rely on: nothing of them gets out, and nothing of them stays. */
describe('test network', () => {
  it('knows no way to an address that is not in it', async () => {
    await using network = nodeNetwork();
    for (const name of ['node', 'cloud', 'other']) {
      assert.throws(() => network.ip(name, 'route get 198.51.100.1'), /unreachable/i, name);
    }
    assert.throws(() => network.ip('cloud', `route get fibmatch 198.51.100.1`), /unreachable/i);
    assert.match(network.ip('cloud', `route get ${metadataServer.ipv4}`), /^local /);
  });

  it('refuses to start with an interface whose other end is somewhere else', async () => {
    await using inside = new Network(['a']);
    await using outside = new Network(['b']);
    inside.assertIsolated();
    inside.ip('a', `link add out type veth peer name in netns ${outside.fullName('b')}`);
    assert.throws(() => inside.assertIsolated(), /out in a may lead out/);
  });

  it('is removed with its processes and files when the process that made it is killed', async () => {
    const script = `
      import { Network } from ${JSON.stringify(join(import.meta.dirname, 'network.ts'))};
      const network = new Network(['a']);
      const child = network.spawn('a', ['sleep', '1000']);
      console.log(JSON.stringify([network.fullName('a'), network.folder, child.pid]));
      setInterval(() => undefined, 1000);`;
    const maker = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(maker.stdout, 'data')) as [Buffer];
    const [name, folder, pid] = JSON.parse(line.toString()) as [string, string, number];
    assert.ok(namespaces().includes(name) && existsSync(folder) && existsSync(`/proc/${pid}`));
    maker.kill('SIGKILL');
    await eventually('nothing is left', () =>
      Promise.resolve(
        (!namespaces().includes(name) && !existsSync(folder) && !existsSync(`/proc/${pid}`)) || undefined,
      ),
    );
  });
});
