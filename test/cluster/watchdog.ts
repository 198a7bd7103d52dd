import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';

/**
 * Reads one line per change, each the full list of process ids. The end of input means that whoever wrote them is
 * gone: the kernel closes the pipe even after SIGKILL. The second rm is for what a dying process still wrote.
 */
const SCRIPT = `
while IFS= read -r line; do pids=$line; done
kill -KILL $pids
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
`;

/** Kills a cluster's processes and removes its folder when this process ends without having done so. */
export class Watchdog {
  readonly #shell: ChildProcess;
  readonly #input: Socket;

  constructor(folder: string) {
    // In a group of its own: Ctrl-C and a kill of our whole group must not reach it.
    this.#shell = spawn('sh', ['-c', SCRIPT, 'metaveil-cluster-watchdog', folder], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
    });
    this.#input = this.#shell.stdin as Socket;
    this.#input.on('error', () => undefined);
    this.#input.unref();
    this.#shell.unref();
  }

  /** Replaces the list of processes to kill. */
  guard(pids: readonly number[]): void {
    this.#input.write(`${pids.join(' ')}\n`);
  }

  /** Ends it without its doing anything. */
  dismiss(): void {
    this.#shell.kill('SIGKILL');
  }
}
