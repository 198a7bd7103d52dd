import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const SOURCE = join(import.meta.dirname, 'binary');
const SOURCE_FILES = ['go.mod', 'go.sum', 'main.go'];
const PROGRAM = 'control-plane';
const COMPONENTS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'];
const PROGRESS_EVERY_MS = 10_000;
/** Older than any build takes, so its owner's process id may by now be another process's. */
const LOCK_ABANDONED_MS = 60 * 60_000;

/**
 * Builds the control plane's programs from their Go modules unless the cache has them, and returns the folder
 * that holds them. Several processes may call this at once: one builds, the others wait for it.
 *
 * @throws {Error} when Go is missing or the build fails, with the compiler's last lines.
 */
export async function buildAssets(): Promise<string> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'metaveil', 'control-plane');
  const target = join(cache, await sourceHash());
  if (await exists(target)) return target;
  await mkdir(cache, { recursive: true });
  const lock = `${target}.lock`;
  let announced = false;
  while (!(await acquire(lock))) {
    if (await exists(target)) return target;
    if (!announced) report(`another process is building the test control plane; waiting for it (lock: ${lock})`);
    announced = true;
    await delay(1000);
  }
  try {
    if (!(await exists(target))) await buildInto(cache, target);
  } finally {
    await rm(lock, { force: true });
  }
  return target;
}

/** Platform and architecture belong to the key because a home directory may be shared between machines. */
async function sourceHash(): Promise<string> {
  const hash = createHash('sha256').update(`${process.platform}/${process.arch}\0`);
  for (const file of SOURCE_FILES) hash.update(await readFile(join(SOURCE, file))).update('\0');
  return hash.digest('hex').slice(0, 20);
}

/** Publishing by rename: whoever sees the target folder sees it whole, even after a kill in the middle. */
async function buildInto(cache: string, target: string): Promise<void> {
  const staging = await mkdtemp(join(cache, 'building-'));
  try {
    await compile(join(staging, PROGRAM));
    for (const name of COMPONENTS) await symlink(PROGRAM, join(staging, name));
    await rename(staging, target).catch(async (error: unknown) => {
      if (!(await exists(target))) throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
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

async function acquire(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  // Two waiters may both find the lock abandoned and both build: a waste, no harm, since publishing is a rename.
  if (await abandoned(lock)) await rm(lock, { force: true });
  return false;
}

async function abandoned(lock: string): Promise<boolean> {
  try {
    const pid = Number(await readFile(lock, 'utf8'));
    const age = Date.now() - (await stat(lock)).mtimeMs;
    // A file that is still empty belongs to a process between creating and writing it.
    if (!Number.isInteger(pid) || pid <= 0) return age > 10_000;
    return age > LOCK_ABANDONED_MS || !isAlive(pid);
  } catch {
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function seconds(since: number): number {
  return Math.round((Date.now() - since) / 1000);
}

function report(line: string): void {
  process.stderr.write(`test/cluster: ${line}\n`);
}
