import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { allOperations, type ConformanceClient } from './contract.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const libraries = ['google-auth-library', 'gcp-metadata', '@google-cloud/storage'];

async function versionOf(library: string): Promise<string> {
  const file = join(root, 'node_modules', library, 'package.json');
  return (JSON.parse(await readFile(file, 'utf8')) as { readonly version: string }).version;
}

export const client: ConformanceClient = {
  name: 'Node',
  operations: allOperations,
  prepare: async () => ({
    command: [process.execPath, join(import.meta.dirname, 'programs', 'node.ts')],
    versions: Object.fromEntries(
      await Promise.all(libraries.map(async (library) => [library, await versionOf(library)] as const)),
    ),
  }),
};
