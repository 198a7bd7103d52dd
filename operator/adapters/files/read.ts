import { constants } from 'node:fs';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from '../../local/ports.ts';
import { limits } from './limits.ts';

export interface SourceText {
  /** As a message names it: the path given, joined with the file's name. */
  readonly file: string;
  readonly text: string;
}

export interface ReadResult {
  readonly texts: readonly SourceText[];
  readonly problems: readonly Problem[];
}

/** Reads one file, or the YAML files directly in a folder, in the order of their names. */
export async function readSources(path: string): Promise<ReadResult> {
  const files = await listFiles(path).catch((error: unknown) => [problemAt(path, error)]);
  if (files.length === 0) return failed(path, 'the folder has no .yaml or .yml file', 'name another folder');
  if (files.length > limits.files) {
    return failed(path, `the folder has more than ${String(limits.files)} files`, 'split the folder');
  }
  const texts: SourceText[] = [];
  const problems: Problem[] = [];
  let bytes = 0;
  for (const file of files) {
    const read = typeof file === 'string' ? await readSource(file) : file;
    if (isProblem(read)) problems.push(read);
    else texts.push(read);
    bytes += isProblem(read) ? 0 : read.text.length;
    if (bytes > limits.folderBytes) return failed(path, 'the folder is larger than 32 MiB', 'split the folder');
  }
  return { texts, problems };
}

function failed(path: string, what: string, fix: string): ReadResult {
  return { texts: [], problems: [{ at: { file: path, line: 1, column: 1 }, what, fix }] };
}

async function listFiles(path: string): Promise<readonly (string | Problem)[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => /\.ya?ml$/.test(name)).sort();
  return names.map((name) => join(path, name));
}

async function readSource(file: string): Promise<SourceText | Problem> {
  try {
    // A named pipe would block its reader for ever.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return await readHandle(file, handle);
    } finally {
      await handle.close();
    }
  } catch (error) {
    return problemAt(file, error);
  }
}

async function readHandle(file: string, handle: FileHandle): Promise<SourceText | Problem> {
  if (!(await handle.stat()).isFile()) return mistake(file, 'not a regular file', 'remove it');
  // The size in stat may be a lie (procfs) or grow; one byte more than allowed tells.
  const buffer = Buffer.alloc(limits.fileBytes + 1);
  let length = 0;
  for (let read = 1; read > 0 && length < buffer.length; length += read) {
    ({ bytesRead: read } = await handle.read(buffer, length));
  }
  if (length > limits.fileBytes) return mistake(file, 'the file is larger than 2 MiB', 'split the file');
  try {
    return { file, text: new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length)) };
  } catch {
    return mistake(file, 'the file is not UTF-8', 'save it as UTF-8');
  }
}

function mistake(file: string, what: string, fix: string): Problem {
  return { at: { file, line: 1, column: 1 }, what, fix };
}

const explanations: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'reading it is not permitted',
  ELOOP: 'its symbolic links lead in a circle',
};

function problemAt(file: string, error: unknown): Problem {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  return mistake(file, explanations[code] ?? `it cannot be read (${code})`, 'correct the path or its permissions');
}

function isProblem(result: SourceText | Problem): result is Problem {
  return 'what' in result;
}
