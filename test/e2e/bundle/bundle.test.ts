/** The files that ship, as `npm run build` makes them: each process starts from them and needs nothing else. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runtime } from '../../../operator/controllers/proxies/pod-template.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'metaveil-bundle-'));

interface Outcome {
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Without the environment of the test: a machine in a cluster has variables that mean something to the processes. */
function node(words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const options = { cwd: folder, env: { PATH: process.env['PATH'], ...env }, timeout: 60_000 };
  return new Promise((resolve) => {
    execFile(process.execPath, words, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? null), stdout, stderr });
    });
  });
}

function metaveil(words: readonly string[], env?: NodeJS.ProcessEnv): Promise<Outcome> {
  return node([join('dist', 'metaveil.js'), ...words], env);
}

describe('what ships', () => {
  before(async () => {
    copyFileSync(join(root, 'package.json'), join(folder, 'package.json'));
    const { code, stderr } = await node([join(root, 'operator', 'cmd', 'build.ts'), join(folder, 'dist')]);
    assert.equal(code, 0, stderr);
  });
  after(() => rmSync(folder, { recursive: true }));

  it('does the main job', async () => {
    const { code, stdout, stderr } = await metaveil(['run', '--once', '--samples', join(root, 'samples')]);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.match(stdout, /access token of \d+ characters \(redacted\)/);
    assert.match(stdout, /200 reports@my-project\.iam\.gserviceaccount\.com/);
  });

  it('explains', async () => {
    const { code, stdout } = await metaveil(['explain', '--profile', 'Baseline']);
    assert.equal(code, 0);
    assert.match(stdout, /^conceal +instance\/attributes\/\*\*/m);
  });

  const processes = [
    { name: 'controller', lacks: 'KUBERNETES_SERVICE_HOST is not set' },
    { name: 'proxy', lacks: 'METAVEIL_NODE_API_URL\\) is not set' },
    { name: 'intercept', lacks: 'METAVEIL_HOST_IP is not set' },
  ] as const;
  for (const { name, lacks } of processes) {
    it(`has the ${name}, which says what it lacks`, async () => {
      const environment = Object.fromEntries(runtime.map((each) => [each.name, each.value]));
      const { code, stdout, stderr } = await metaveil([name], environment);
      assert.notEqual(code, 0);
      assert.match(stdout + stderr, new RegExp(`invalid-configuration: .*${lacks}`));
    });
  }

  it('has a proxy that loads neither fetch nor web streams, which cost it time and memory', async () => {
    const list = "process.on('exit', () => process.stdout.write(process.moduleLoadList.join(' ')))";
    const words = ['--import', `data:text/javascript,${list}`, join('dist', 'metaveil.js'), 'proxy'];
    const { stdout } = await node(words);
    assert.match(stdout, /NativeModule _http_server/);
    assert.doesNotMatch(stdout, /NativeModule internal\/(deps\/undici|webstreams)/);
  });
});
