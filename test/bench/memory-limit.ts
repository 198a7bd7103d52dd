/** A memory limit as a container has it: a cgroup of its own, whichever version the machine has. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = '/sys/fs/cgroup';

interface Files {
  readonly parent: string;
  readonly limit: string;
  readonly usage: string;
  /** Has a line `oom_kill N`. */
  readonly events: string;
}

const versions: readonly Files[] = [
  {
    parent: join(root, 'memory'),
    limit: 'memory.limit_in_bytes',
    usage: 'memory.usage_in_bytes',
    events: 'memory.oom_control',
  },
  { parent: root, limit: 'memory.max', usage: 'memory.current', events: 'memory.events' },
];

export class MemoryLimit implements Disposable {
  readonly #folder: string;
  readonly #files: Files;

  /** Needs root. `quantity` in Mi, as in a pod. */
  constructor(name: string, quantity: string) {
    const mebibytes = /^(\d+)Mi$/u.exec(quantity)?.[1];
    const [first, second] = versions;
    const files = existsSync(join(first?.parent ?? '', first?.limit ?? '')) ? first : second;
    if (mebibytes === undefined || files === undefined) throw new Error(`not a limit in Mi: ${quantity}`);
    this.#files = files;
    this.#folder = join(files.parent, name);
    if (files === second) writeFileSync(join(root, 'cgroup.subtree_control'), '+memory');
    mkdirSync(this.#folder);
    writeFileSync(join(this.#folder, files.limit), String(Number(mebibytes) * 2 ** 20));
  }

  /** The command that runs the program under the limit, with the process id it would have had. */
  command(program: readonly string[]): readonly [string, ...string[]] {
    return ['sh', '-c', 'echo $$ > "$0" && exec "$@"', join(this.#folder, 'cgroup.procs'), ...program];
  }

  /** All memory that counts, the kernel's own for its sockets included, in MiB. */
  usedMiB(): number {
    return Number(readFileSync(join(this.#folder, this.#files.usage), 'utf8')) / 2 ** 20;
  }

  /** How many processes the kernel ended because there was no memory left. */
  kills(): number {
    const events = readFileSync(join(this.#folder, this.#files.events), 'utf8');
    const kills = /^oom_kill (\d+)$/mu.exec(events)?.[1];
    if (kills === undefined) throw new Error(`no count of kills in ${this.#files.events}`);
    return Number(kills);
  }

  /** All its processes must have ended. */
  [Symbol.dispose](): void {
    rmdirSync(this.#folder);
  }
}
