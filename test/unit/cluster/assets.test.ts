import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';

const ASSETS = join(import.meta.dirname, '..', '..', 'cluster', 'assets.ts');
const PRINT_ETCD = `process.stdout.write((await (await import(${JSON.stringify(ASSETS)})).findAssets()).etcd)`;

/** A stand-in for the Go compiler: notes that it was called, takes its time, writes an executable. */
const SLOW_GO = `#!/bin/sh
echo called >> "$CALLS"
while [ "$1" != -o ]; do shift; done
sleep 1
echo '#!/bin/sh' > "$2" && chmod +x "$2"
`;

const FAILING_GO = `#!/bin/sh
echo './main.go:1:1: this does not compile' >&2
exit 1
`;

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe('finding the programs of the control plane', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'metaveil-assets-'));
    mkdirSync(join(folder, 'bin'));
  });

  afterEach(() => rmSync(folder, { recursive: true }));

  function installGo(script: string): void {
    writeFileSync(join(folder, 'bin', 'go'), script);
    chmodSync(join(folder, 'bin', 'go'), 0o755);
  }

  /** In a process of its own, with a cache of its own and only the compiler that the test installed. */
  async function findAssets(env: Record<string, string> = {}, path = '/usr/bin:/bin'): Promise<Outcome> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', PRINT_ETCD], {
      env: {
        PATH: `${join(folder, 'bin')}:${path}`,
        XDG_CACHE_HOME: join(folder, 'cache'),
        CALLS: join(folder, 'calls'),
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
    const [stdout, stderr] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
    return { code: await closed, stdout: stdout.map(String).join(''), stderr: stderr.map(String).join('') };
  }

  const builds = () => readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n').length;

  it('builds once for two processes that want them at the same time, and says so', async () => {
    installGo(SLOW_GO);
    const outcomes = await Promise.all([findAssets(), findAssets()]);
    assert.deepEqual(
      outcomes.map(({ code }) => code),
      [0, 0],
      outcomes[0].stderr + outcomes[1].stderr,
    );
    assert.equal(outcomes[0].stdout, outcomes[1].stdout);
    assert.equal(builds(), 1);
    assert.match(outcomes[0].stderr + outcomes[1].stderr, /building the test control plane from source, once/);
    const names = readdirSync(dirname(outcomes[0].stdout)).sort();
    const components = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'];
    assert.deepEqual(names, ['control-plane', ...components]);
    await findAssets();
    assert.equal(builds(), 1, 'a later process finds them in the cache');
  });

  it('takes over from a builder that was killed', async () => {
    installGo(SLOW_GO);
    const { stdout } = await findAssets();
    const built = dirname(stdout);
    rmSync(built, { recursive: true });
    const gone = spawn('true');
    await new Promise((resolve) => gone.once('close', resolve));
    writeFileSync(`${built}.lock`, String(gone.pid));
    assert.equal((await findAssets()).stdout, stdout);
    assert.equal(builds(), 2);
  });

  it('fails with the compiler’s words, and leaves neither a lock nor half a build', async () => {
    installGo(FAILING_GO);
    const outcome = await findAssets();
    assert.equal(outcome.code, 1);
    assert.match(outcome.stderr, /go build of the test control plane failed \(1\):\n.*this does not compile/);
    assert.deepEqual(readdirSync(join(folder, 'cache', 'metaveil', 'control-plane')), []);
  });

  it('names Go and the alternative when there is no Go', async () => {
    const outcome = await findAssets({}, join(folder, 'nothing'));
    assert.equal(outcome.code, 1);
    assert.match(outcome.stderr, /Go is not installed.*KUBEBUILDER_ASSETS/);
  });

  it('takes the programs of KUBEBUILDER_ASSETS, and names the missing ones', async () => {
    const given = join(folder, 'given');
    mkdirSync(given);
    for (const name of ['etcd', 'kube-apiserver', 'kubectl']) writeFileSync(join(given, name), '', { mode: 0o755 });
    const incomplete = await findAssets({ KUBEBUILDER_ASSETS: given });
    assert.equal(incomplete.code, 1);
    assert.match(incomplete.stderr, /missing there: \S*kube-controller-manager\. /);
    writeFileSync(join(given, 'kube-controller-manager'), '', { mode: 0o755 });
    const complete = await findAssets({ KUBEBUILDER_ASSETS: given });
    assert.equal(complete.stdout, join(given, 'etcd'));
  });
});
