import type { ChildProcess } from 'node:child_process';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Network } from './network.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** What a GET asks for. */
export interface Target extends Endpoint {
  /** Default `/`. */
  readonly path?: string;
  /** Default: none but Host. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Source address; default: what the route says. */
  readonly localAddress?: string;
  /** Default 4,000. */
  readonly timeoutMs?: number;
  /** Use the same connection as the requests before; default false. */
  readonly keepAlive?: boolean;
}

export interface Reply {
  readonly kind: 'reply';
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** `code` as node:net has it; `ETIMEDOUT` also when the time-out of the target is over. */
export interface Failure {
  readonly kind: 'error';
  readonly code: string;
}

export type Answer = Reply | Failure;
export type HeldAnswer = Pick<Reply, 'kind' | 'body'> | Failure;

export interface LoadResult {
  /** Body → how many. */
  readonly answered: Record<string, number>;
  /** Error code → how many. */
  readonly failed: Record<string, number>;
}

export interface Sample {
  /** When it was asked, ms since the epoch. */
  readonly at: number;
  readonly answer: Answer;
}

interface Named {
  readonly name: string;
}

/** Method → argument and result. */
export interface Calls {
  readonly get: [Target, Answer];
  readonly load: [Endpoint & { readonly count: number; readonly atOnce: number }, LoadResult];
  /** After how many ms each of the connections that came about did. */
  readonly connect: [Endpoint & { readonly count: number }, readonly number[]];
  readonly begin: [Named & { readonly target: Target; readonly everyMs: number }, null];
  readonly end: [Named, readonly Sample[]];
  readonly hold: [Endpoint & Named, null];
  readonly ask: [Named & { readonly path?: string }, HeldAnswer];
  readonly serve: [Endpoint & Named, null];
  readonly hits: [Named, readonly string[]];
  readonly serveUdp: [Endpoint, null];
  readonly askUdp: [Endpoint, string];
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

  constructor(network: Pick<Network, 'spawn'>, name: string) {
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

  /** Ends the process. */
  stop(): void {
    this.#process.stdin?.end();
  }
}
