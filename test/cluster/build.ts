import { spawn } from 'node:child_process';
import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { builtOnce } from '../build-cache.ts';

const SOURCE = join(import.meta.dirname, 'binary');
const SOURCE_FILES = ['go.mod', 'go.sum', 'main.go'];
const PROGRAM = 'control-plane';
const COMPONENTS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'];
const PROGRESS_EVERY_MS = 10_000;

/**
 * Builds the control plane's programs from their Go modules unless the cache has them, and returns the folder
 * that holds them.
 *
 * @throws {Error} when Go is missing or the build fails, with the compiler's last lines.
 */
export async function buildAssets(): Promise<string> {
  return builtOnce({
    name: 'control-plane',
    sources: SOURCE_FILES.map((file) => join(SOURCE, file)),
    into: async (staging) => {
      await compile(join(staging, PROGRAM));
      for (const name of COMPONENTS) await symlink(PROGRAM, join(staging, name));
    },
  });
}

async function compile(output: string): Promise<void> {
  const started = Date.now();
  report('building the test control plane from source, once (about 6 minutes on 2 cores, 1 GB of modules).');
  report('To use ready programs instead, set KUBEBUILDER_ASSETS to a folder that has them.');
  const args = ['build', '-v', '-trimpath', '-mod=readonly', '-ldflags', await linkerFlags(), '-o', output, '.'];
  const build = spawn('go', args, {
    cwd: SOURCE,
    env: { ...process.env, CGO_ENABLED: '0' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lastLines: string[] = [];
  let compiled = 0;
  createInterface({ input: build.stderr }).on('line', (line) => {
    if (/^[\w.-]+(\/[\w.-]+)*$/.test(line)) compiled += 1;
    lastLines.push(line);
    if (lastLines.length > 20) lastLines.shift();
  });
  const progress = setInterval(() => report(`${seconds(started)} s, ${compiled} packages compiled`), PROGRESS_EVERY_MS);
  try {
    await succeeded(build, lastLines);
  } finally {
    clearInterval(progress);
  }
  report(`built in ${seconds(started)} s`);
}

function succeeded(build: ReturnType<typeof spawn>, lastLines: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    build.on('error', (cause) => reject(new Error(explainSpawnFailure(cause), { cause })));
    build.on('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`go build of the test control plane failed (${signal ?? code}):\n${lastLines.join('\n')}`));
    });
  });
}

function explainSpawnFailure(cause: Error): string {
  const missing = 'code' in cause && cause.code === 'ENOENT';
  const what = missing ? 'Go is not installed' : `go could not be started (${cause.message})`;
  return (
    `The integration tests need a Kubernetes control plane, and ${what}. Install the Go version that ` +
    'test/cluster/binary/go.mod names, or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, ' +
    'kube-controller-manager and kubectl.'
  );
}

/** Without these the server calls itself v0.0.0 and clients that look at its version misbehave. */
async function linkerFlags(): Promise<string> {
  const goMod = await readFile(join(SOURCE, 'go.mod'), 'utf8');
  const found = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\S+)/.exec(goMod);
  if (found === null) throw new Error(`${SOURCE}/go.mod does not require k8s.io/kubernetes`);
  const [, version, major, minor] = found;
  const variables = { gitVersion: version, gitMajor: major, gitMinor: minor };
  const settings = Object.entries(variables).map(([k, v]) => `-X k8s.io/component-base/version.${k}=${String(v)}`);
  return ['-s', '-w', ...settings].join(' ');
}

function seconds(since: number): number {
  return Math.round((Date.now() - since) / 1000);
}

function report(line: string): void {
  process.stderr.write(`test/cluster: ${line}\n`);
}
