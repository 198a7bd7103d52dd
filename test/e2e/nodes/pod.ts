/** A pod of a tenant: a Pod object that runs, and a network namespace with the pod's address. */
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { NamespaceAgent, type Answer, type Endpoint, type Sample, type Target } from '../../netns/agent-client.ts';
import type { Segment } from './segment.ts';

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

export const tokenPath = 'instance/service-accounts/default/token';

export class TenantPod implements PodIdentity {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Where this pod's node serves metadata. */
  readonly server: Endpoint;
  readonly #segment: Segment;
  readonly #place: string;
  readonly #agent: NamespaceAgent;
  #loops = 0;

  constructor(identity: PodIdentity, segment: Segment, place: string, server: Endpoint) {
    this.name = identity.name;
    this.namespace = identity.namespace;
    this.uid = identity.uid;
    this.server = server;
    this.#segment = segment;
    this.#place = place;
    this.#agent = new NamespaceAgent(segment, place);
  }

  /** GET below /computeMetadata/v1/ of the pod's own node, or of another server. */
  get(path: string, options: Partial<Target> = {}): Promise<Answer> {
    return this.#agent.call('get', this.#target(path, options));
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
    const name = `${path} ${(this.#loops += 1)}`;
    await this.#agent.call('begin', { name, everyMs, target: this.#target(path, {}) });
    let samples: Promise<readonly Sample[]> | undefined;
    return { end: () => (samples ??= this.#agent.call('end', { name })) };
  }

  /** Runs google-auth-library in the pod, pointed at the node by the variable that users set, or at another host. */
  async googleClient(audience: string, server: Endpoint = this.server): Promise<GoogleClientResult> {
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
    this.#agent.stop();
  }

  #target(path: string, options: Partial<Target>): Target {
    const headers = { 'Metadata-Flavor': 'Google' };
    return { ...this.server, path: `/computeMetadata/v1/${path}`, headers, timeoutMs: 5_000, ...options };
  }
}

export function tokenOf(answer: Answer): string {
  if (answer.kind === 'error') return '';
  return (JSON.parse(answer.body) as { readonly access_token?: string }).access_token ?? '';
}
