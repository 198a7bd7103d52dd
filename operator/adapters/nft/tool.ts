import { spawn } from 'node:child_process';

/** How a program ended. It was started without a shell, with a fixed PATH and in the C locale. */
export type ToolExit =
  | { readonly kind: 'exited'; readonly status: number; readonly output: string; readonly errors: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'too-long' };

export interface ToolSettings {
  /** Folders to search for programs, as in PATH. */
  readonly path: string;
  readonly deadlineMs: number;
}

export interface ToolRun {
  readonly program: 'nft' | 'conntrack';
  readonly arguments: readonly string[];
  /** Bytes of standard output to accept; with 0 it is not read at all. */
  readonly maxOutput: number;
}

/** nft takes milliseconds; one that does not end waits for a lock that somebody holds. */
export const defaultToolSettings: ToolSettings = { path: '/usr/sbin:/usr/bin:/sbin:/bin', deadlineMs: 5_000 };

const maxErrorBytes = 4_096;

/** Runs a program to its end. Never throws. */
export function runTool(run: ToolRun, { path, deadlineMs }: ToolSettings): Promise<ToolExit> {
  return new Promise((resolve) => {
    const child = spawn(run.program, run.arguments, {
      env: { PATH: path, LC_ALL: 'C' },
      stdio: ['ignore', run.maxOutput === 0 ? 'ignore' : 'pipe', 'pipe'],
    });
    const stop = (exit: ToolExit): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      resolve(exit);
    };
    const timer = setTimeout(() => stop({ kind: 'timeout' }), deadlineMs);
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => {
      output.push(chunk);
      if (lengthOf(output) > run.maxOutput) stop({ kind: 'too-long' });
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      if (lengthOf(errors) < maxErrorBytes) errors.push(chunk);
    });
    child.on('error', () => stop({ kind: 'missing' }));
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ kind: 'exited', status: status ?? -1, output: textOf(output), errors: textOf(errors) });
    });
  });
}

function lengthOf(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

function textOf(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString('utf8');
}
