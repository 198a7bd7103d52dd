/** Programs that the clients' preparation runs: package managers, compilers, and at last the client itself. */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export type Command = readonly [program: string, ...arguments_: string[]];

interface Surroundings {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const timeoutMs = 10 * 60_000;
const versionsFile = 'versions.json';

/**
 * What the program printed.
 *
 * @throws {Error} when the program is missing, fails or takes longer than ten minutes, with its last lines.
 */
export async function run([program, ...arguments_]: Command, { cwd, env = {} }: Surroundings = {}): Promise<string> {
  const options = { cwd, env: { ...process.env, ...env }, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 };
  try {
    return (await promisify(execFile)(program, arguments_, options)).stdout;
  } catch (cause) {
    throw new Error(`${[program, ...arguments_].join(' ')}: ${explain(cause)}`, { cause });
  }
}

function explain(cause: unknown): string {
  const { code, killed, stdout, stderr } = cause as { code?: unknown } & Record<string, string | boolean | undefined>;
  if (code === 'ENOENT') return 'this program is not installed, and a conformance client needs it';
  const output = [stdout, stderr].filter((text) => typeof text === 'string').join('\n');
  const lastLines = output.trim().split('\n').slice(-20).join('\n');
  return `${killed === true ? `ended after ${timeoutMs} ms` : `failed (${String(code)})`}:\n${lastLines}`;
}

/** Asks a client that has just been made for what it loaded: proof that it starts, kept beside it. */
export async function noteVersions(client: Command, folder: string): Promise<void> {
  const printed = await run([...client, '--versions']);
  JSON.parse(printed);
  await writeFile(join(folder, versionsFile), printed);
}

export async function readVersions(folder: string): Promise<Readonly<Record<string, string>>> {
  return JSON.parse(await readFile(join(folder, versionsFile), 'utf8')) as Record<string, string>;
}
