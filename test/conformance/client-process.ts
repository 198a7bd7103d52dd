/** One process of a client in a pod. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { ClientReply, ClientRequest, Operation } from './clients/contract.ts';

export type Asked = Operation & { readonly fresh?: boolean };
export type Reply = { readonly ok: true; readonly value: string } | { readonly ok: false; readonly error: string };

/** The slowest client with all its tries takes less. */
const deadlineMs = 120_000;
const keptComplaints = 4_000;

export class ClientProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: ClientReply) => void>();
  readonly #ended: Promise<unknown>;
  #complaints = '';
  #requests = 0;

  /** `child` has pipes for input, output and error. */
  constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, 'exit');
    if (child.stdout === null) throw new Error('the client has no output');
    createInterface({ input: child.stdout }).on('line', (line) => this.#heard(line));
    child.stderr?.setEncoding('utf8').on('data', (part: string) => {
      this.#complaints = (this.#complaints + part).slice(-keptComplaints);
    });
    child.on('exit', (status) => this.#failAll(`the client ended with status ${status ?? 'none'}`));
  }

  /** Never rejects: a client that ends or hangs has failed. */
  async ask(asked: Asked): Promise<Reply> {
    const id = (this.#requests += 1);
    const request = { ...asked, id } as ClientRequest;
    const { promise, resolve } = Promise.withResolvers<ClientReply>();
    this.#waiting.set(id, resolve);
    const timer = setTimeout(() => resolve({ id, ok: false, error: `no answer in ${deadlineMs} ms` }), deadlineMs);
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    if (this.#child.exitCode !== null) this.#failAll('the client has ended');
    const reply = await promise;
    clearTimeout(timer);
    this.#waiting.delete(id);
    return reply;
  }

  /** Ends it as the contract says; with force if it does not obey. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Anything else than a line of the contract is a fault of the client. */
  #heard(line: string): void {
    const reply = JSON.parse(line) as ClientReply;
    this.#waiting.get(reply.id)?.(reply);
  }

  #failAll(why: string): void {
    for (const [id, resolve] of this.#waiting) resolve({ id, ok: false, error: `${why}\n${this.#complaints}` });
  }
}
