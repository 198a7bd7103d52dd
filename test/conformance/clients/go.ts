import { join } from 'node:path';
import { builtOnce } from '../../build-cache.ts';
import { noteVersions, readVersions, run, type Command } from './command.ts';
import { allOperations, type ConformanceClient } from './contract.ts';

const source = join(import.meta.dirname, 'go');

/** compute/metadata, auth and storage in one static program. */
export const client: ConformanceClient = {
  name: 'Go',
  operations: allOperations,
  async prepare() {
    const folder = await builtOnce({
      name: 'clients/go',
      sources: ['go.mod', 'go.sum', 'main.go'].map((file) => join(source, file)),
      into: compile,
    });
    return { command: commandIn(folder), versions: await readVersions(folder) };
  },
};

function commandIn(folder: string): Command {
  return [join(folder, 'client')];
}

async function compile(staging: string): Promise<void> {
  process.stderr.write('building the Go conformance client, once (about a minute on 2 cores)\n');
  const flags = ['-trimpath', '-mod=readonly', '-ldflags', '-s -w'];
  await run(['go', 'build', ...flags, '-o', join(staging, 'client'), '.'], { cwd: source, env: { CGO_ENABLED: '0' } });
  await noteVersions(commandIn(staging), staging);
}
