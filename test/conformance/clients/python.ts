import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { builtOnce } from '../../build-cache.ts';
import { noteVersions, readVersions, run, type Command } from './command.ts';
import type { ConformanceClient } from './contract.ts';

const source = join(import.meta.dirname, 'python');
const program = 'client.py';
const requirements = 'requirements.txt';
const interpreterVersion = 'import platform; print(platform.python_version())';

/** google-auth and google-cloud-storage in a virtual environment of the machine's python3. */
export const client: ConformanceClient = {
  name: 'Python',
  operations: ['on-gce', 'project-id', 'email', 'access-token', 'identity-token', 'universe-domain', 'list-buckets'],
  async prepare() {
    // A virtual environment belongs to the interpreter that made it.
    const version = (await run(['python3', '-c', interpreterVersion])).trim();
    const folder = await builtOnce({
      name: `clients/python-${version}`,
      sources: [join(source, requirements), join(source, program)],
      into: install,
    });
    return { command: commandIn(folder), versions: await readVersions(folder) };
  },
};

/** Isolated: neither the environment's nor the user's Python settings reach it. */
function commandIn(folder: string): Command {
  return [join(folder, 'bin', 'python'), '-I', join(folder, program)];
}

async function install(staging: string): Promise<void> {
  await run(['python3', '-m', 'venv', '--without-pip', staging]);
  const pip: Command = ['python3', '-m', 'pip', '--python', join(staging, 'bin', 'python'), 'install', '--quiet'];
  await run([...pip, '--require-hashes', '--only-binary', ':all:', '-r', join(source, requirements)]);
  await copyFile(join(source, program), join(staging, program));
  await noteVersions(commandIn(staging), staging);
}
