/** Things that tests need and that take long to make: made once per machine, below ~/.cache/metaveil. */
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Older than any build takes, so its owner's process id may by now be another process's. */
const lockAbandonedMs = 60 * 60_000;

export interface Build {
  /** Folder below the cache, also what waiting processes call it. */
  readonly name: string;
  /** Files whose content decides whether what is there can be used. */
  readonly sources: readonly string[];
  /** Fills an empty folder. It is moved afterwards: nothing in it may name its own path. */
  into(staging: string): Promise<void>;
}

/**
 * The folder with what the build made, now or before. Several processes may call this at once: one builds, the others
 * wait for it. Publishing is a rename: whoever sees the folder sees it whole, even after a kill in the middle.
 *
 * @throws {Error} what `into` throws.
 */
export async function builtOnce(build: Build): Promise<string> {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'metaveil', build.name);
  const target = join(cache, await hashOf(build.sources));
  if (await exists(target)) return target;
  await mkdir(cache, { recursive: true });
  const lock = `${target}.lock`;
  let announced = false;
  while (!(await acquire(lock))) {
    if (await exists(target)) return target;
    if (!announced) process.stderr.write(`another process is building ${build.name}; waiting (lock: ${lock})\n`);
    announced = true;
    await delay(1000);
  }
  try {
    if (!(await exists(target))) await publish(build, cache, target);
  } finally {
    await rm(lock, { force: true });
  }
  return target;
}

/** Platform and architecture belong to the key because a home directory may be shared between machines. */
async function hashOf(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(`${process.platform}/${process.arch}\0`);
  for (const file of files) hash.update(await readFile(file)).update('\0');
  return hash.digest('hex').slice(0, 20);
}

async function publish(build: Build, cache: string, target: string): Promise<void> {
  const staging = await mkdtemp(join(cache, 'building-'));
  try {
    await build.into(staging);
    await rename(staging, target).catch(async (error: unknown) => {
      if (!(await exists(target))) throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
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
    return age > lockAbandonedMs || !isAlive(pid);
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
