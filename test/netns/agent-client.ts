import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Network } from './network.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
  /** Source address; default: what the route says. */
  readonly localAddress?: string;
}

export type Answer =
  | { readonly kind: 'reply'; readonly body: string; readonly ms: number }
  | { readonly kind: 'error'; readonly code: string; readonly ms: number };

export interface LoadResult {
  /** Body → how many. */
  readonly answered: Record<string, number>;
  /** Error code → how many. */
  readonly failed: Record<string, number>;
}

/** Method → argument and result. */
export interface Calls {
  readonly get: [Target & { readonly timeoutMs?: number }, Answer];
  readonly serve: [Target & { readonly name: string }, null];
  readonly hits: [{ readonly name: string }, readonly string[]];
  readonly serveUdp: [Target, null];
  readonly askUdp: [Target, string];
  readonly hold: [Target & { readonly name: string }, null];
  readonly ask: [{ readonly name: string; readonly path?: string }, Answer];
  readonly load: [Target & { readonly count: number; readonly atOnce: number }, LoadResult];
}

interface Outcome {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** A process in a namespace that talks over the network for the test. It ends with the test's process. */
export class NamespaceAgent {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  #calls = 0;

  constructor(network: Network, name: string) {
    this.#process = network.spawn(name, [process.execPath, join(import.meta.dirname, 'agent.ts')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (this.#process.stdout === null) throw new Error('the agent has no output');
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      const outcome = JSON.parse(line) as Outcome;
      this.#waiting.get(outcome.id)?.(outcome);
    });
  }

  call<Name extends keyof Calls>(method: Name, argument: Calls[Name][0]): Promise<Calls[Name][1]> {
    const id = (this.#calls += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        this.#waiting.delete(id);
        if (error === undefined) resolve(result as Calls[Name][1]);
        else reject(new Error(`${method}: ${error}`));
      });
      this.#process.stdin?.write(`${JSON.stringify({ id, method, argument })}\n`);
    });
  }

  /** What a GET to port 80 of `host` gave: the body, or the error's code. */
  async get(host: string, port = 80, options: { localAddress?: string; timeoutMs?: number } = {}): Promise<string> {
    const answer = await this.call('get', { host, port, ...options });
    return answer.kind === 'reply' ? answer.body : answer.code;
  }
}
