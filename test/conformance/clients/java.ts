import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { builtOnce } from '../../build-cache.ts';
import { noteVersions, readVersions, run, type Command } from './command.ts';
import type { ConformanceClient } from './contract.ts';

const source = join(import.meta.dirname, 'java');
const pom = join(source, 'pom.xml');
const program = join(source, 'Client.java');
const lockFile = join(source, 'jars.sha256');

/** google-auth-library-oauth2-http as Maven resolves it. */
export const client: ConformanceClient = {
  name: 'Java',
  operations: ['on-gce', 'project-id', 'email', 'access-token', 'identity-token', 'universe-domain'],
  async prepare() {
    const folder = await builtOnce({ name: 'clients/java', sources: [pom, lockFile, program], into: compile });
    return { command: commandIn(folder), versions: await readVersions(folder) };
  },
};

/** Small heap and first-tier compiler only: it starts many times and lives short. */
function commandIn(folder: string): Command {
  const classPath = `${folder}:${join(folder, 'lib', '*')}`;
  return ['java', '-Xmx128m', '-XX:TieredStopAtLevel=1', '-cp', classPath, 'Client'];
}

async function compile(staging: string): Promise<void> {
  const lib = join(staging, 'lib');
  await run(['mvn', '-B', '-q', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${lib}`]);
  await verifyJars(lib);
  await run(['javac', '--release', '17', '-cp', join(lib, '*'), '-d', staging, program]);
  await noteVersions(commandIn(staging), staging);
}

/** Maven has no lock file: what it brought is compared with the list beside the POM, in the format of sha256sum. */
async function verifyJars(lib: string): Promise<void> {
  const names = (await readdir(lib)).sort();
  const lines = await Promise.all(names.map(async (name) => `${await sha256(join(lib, name))}  ${name}`));
  const expected = (await readFile(lockFile, 'utf8')).trim().split('\n');
  const unexpected = lines.filter((line) => !expected.includes(line));
  const missing = expected.filter((line) => !lines.includes(line));
  if (unexpected.length + missing.length === 0) return;
  throw new Error(
    `Maven brought other files than ${lockFile} names.\n` +
      `Brought, not named:\n${unexpected.join('\n')}\nNamed, not brought:\n${missing.join('\n')}`,
  );
}

async function sha256(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
}
