/**
 * `npm run generate`: writes CRDs, reference docs and PROJECT from the schema consts and tables in code. With `--check` it writes
 * nothing and exits with 1 if a file is stale.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  compareFiles,
  describeStaleness,
  generatedFiles,
  generatedFolders,
  type Staleness,
} from '../cli/generate/index.ts';

const root = join(import.meta.dirname, '..', '..');

async function main(argv: readonly string[]): Promise<number> {
  const unknown = argv.filter((argument) => argument !== '--check');
  if (unknown.length > 0) {
    process.stderr.write(`unknown argument ${JSON.stringify(unknown[0])}; usage: npm run generate [-- --check]\n`);
    return 2;
  }
  const stale = compareFiles(generatedFiles(), await filesOnDisk());
  return argv.includes('--check') ? report(stale) : write(stale);
}

function report(stale: readonly Staleness[]): number {
  if (stale.length === 0) return 0;
  const lines = stale.map((each) => describeStaleness(each));
  process.stderr.write(`${lines.join('\n')}\nGenerated files are stale; run: npm run generate\n`);
  return 1;
}

/** Touches only what differs, so that times of unchanged files stay. */
async function write(stale: readonly Staleness[]): Promise<number> {
  const texts = new Map(generatedFiles().map(({ path, text }) => [path, text]));
  for (const { path } of stale) {
    const text = texts.get(path);
    if (text === undefined) {
      await rm(join(root, path));
      process.stdout.write(`removed ${path}\n`);
      continue;
    }
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
    process.stdout.write(`wrote ${path}\n`);
  }
  return 0;
}

async function filesOnDisk(): Promise<ReadonlyMap<string, string>> {
  const inFolders = await Promise.all(generatedFolders.map(listFolder));
  const paths = new Set([...inFolders.flat(), ...generatedFiles().map(({ path }) => path)]);
  const entries = await Promise.all([...paths].map(async (path) => [path, await readIfPresent(path)] as const));
  return new Map(entries.flatMap(([path, text]) => (text === undefined ? [] : [[path, text] as const])));
}

async function listFolder(folder: string): Promise<readonly string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch(ignoreMissing);
  return (entries ?? []).filter((entry) => entry.isFile()).map((entry) => `${folder}/${entry.name}`);
}

async function readIfPresent(path: string): Promise<string | undefined> {
  return readFile(join(root, path), 'utf8').catch(ignoreMissing);
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
  throw error;
}

process.exitCode = await main(process.argv.slice(2));
