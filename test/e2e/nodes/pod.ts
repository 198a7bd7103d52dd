/** A pod of a tenant: a Pod object that runs, and a network namespace with the pod's address. */
import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { Segment } from './segment.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Default: Metadata-Flavor. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Default 5,000. */
  readonly timeoutMs?: number;
  /** Use the same connection as the requests before; default false. */
  readonly keepAlive?: boolean;
}

export type Answer =
  | { readonly kind: 'reply'; readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string }
  | { readonly kind: 'error'; readonly code: string };

export interface Sample {
  /** When it was asked, ms since the epoch. */
  readonly at: number;
  readonly answer: Answer;
}

/** Method → argument and result. */
export interface Calls {
  readonly get: [Target, Answer];
  readonly begin: [{ readonly name: string; readonly target: Target; readonly everyMs: number }, null];
  readonly end: [{ readonly name: string }, readonly Sample[]];
}

export type Outcome =
  { readonly kind: 'had'; readonly value: string } | { readonly kind: 'failed'; readonly reason: string };

/** What google-auth-library got. */
export interface GoogleClientResult {
  readonly accessToken: Outcome;
  readonly identityToken: Outcome;
}

export interface PodIdentity {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
}

interface Server {
  readonly host: string;
  readonly port: number;
}

export const tokenPath = 'instance/service-accounts/default/token';

export class TenantPod implements PodIdentity {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Where this pod's node serves metadata. */
  readonly server: Server;
  readonly #segment: Segment;
  readonly #place: string;
  readonly #agent: ChildProcess;
  readonly #waiting = new Map<number, (outcome: { result?: unknown; error?: string }) => void>();
  #calls = 0;

  constructor(identity: PodIdentity, segment: Segment, place: string, server: Server) {
    this.name = identity.name;
    this.namespace = identity.namespace;
    this.uid = identity.uid;
    this.server = server;
    this.#segment = segment;
    this.#place = place;
    const program = join(import.meta.dirname, 'pod-agent.ts');
    this.#agent = segment.spawn(place, [process.execPath, program], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#agent.stdout === null) throw new Error('the agent has no output');
    createInterface({ input: this.#agent.stdout }).on('line', (line) => {
      const outcome = JSON.parse(line) as { id: number; result?: unknown; error?: string };
      this.#waiting.get(outcome.id)?.(outcome);
    });
  }

  /** GET below /computeMetadata/v1/ of the pod's own node, or of another server. */
  get(path: string, options: Partial<Target> = {}): Promise<Answer> {
    return this.#call('get', this.#target(path, options));
  }

  /** Its access token and the e-mail it may be spent as, else the refusal. */
  async token(options: Partial<Target> = {}): Promise<{ readonly status: number; readonly token: string }> {
    const answer = await this.get(tokenPath, options);
    if (answer.kind === 'error') return { status: 0, token: '' };
    return { status: answer.status, token: answer.status === 200 ? tokenOf(answer) : '' };
  }

  /** Runs `during` while the pod goes on asking for `path`, and returns every answer. */
  async whileAsking(path: string, everyMs: number, during: () => Promise<void>): Promise<readonly Sample[]> {
    const loop = await this.asking(path, everyMs);
    try {
      await during();
    } finally {
      // Also when `during` failed: its failure is what counts then.
      await loop.end().catch(() => undefined);
    }
    return loop.end();
  }

  /** Goes on asking for `path` until `end`, which returns all answers, also when it is called again. */
  async asking(path: string, everyMs: number): Promise<{ end(): Promise<readonly Sample[]> }> {
    const name = `${path} ${(this.#calls += 1)}`;
    await this.#call('begin', { name, everyMs, target: this.#target(path, {}) });
    let samples: Promise<readonly Sample[]> | undefined;
    return { end: () => (samples ??= this.#call('end', { name })) };
  }

  /** Runs google-auth-library in the pod, pointed at the node by the variable that users set, or at another host. */
  async googleClient(audience: string, server: Server = this.server): Promise<GoogleClientResult> {
    const program = join(import.meta.dirname, 'google-client.ts');
    const env = { GCE_METADATA_HOST: `${server.host}:${server.port}`, HOME: '/nonexistent' };
    const child = this.#segment.spawn(this.#place, [process.execPath, program, audience], {
      env,
      // Its warnings say what `reason` says.
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    if (child.stdout === null) throw new Error('the client has no output');
    const ended = once(child, 'exit');
    const output = await text(child.stdout);
    const [status] = (await ended) as [number | null];
    if (status !== 0) throw new Error(`the client ended with status ${status ?? 'none'}: ${output}`);
    return JSON.parse(output) as GoogleClientResult;
  }

  /** Ends the programs in its namespace. */
  stop(): void {
    this.#agent.stdin?.end();
  }

  #target(path: string, options: Partial<Target>): Target {
    return { ...this.server, path: `/computeMetadata/v1/${path}`, ...options };
  }

  #call<Name extends keyof Calls>(method: Name, argument: Calls[Name][0]): Promise<Calls[Name][1]> {
    const id = (this.#calls += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        this.#waiting.delete(id);
        if (error === undefined) resolve(result as Calls[Name][1]);
        else reject(new Error(`${method}: ${error}`));
      });
      this.#agent.stdin?.write(`${JSON.stringify({ id, method, argument })}\n`);
    });
  }
}

export function tokenOf(answer: Answer): string {
  if (answer.kind === 'error') return '';
  return (JSON.parse(answer.body) as { readonly access_token?: string }).access_token ?? '';
}
