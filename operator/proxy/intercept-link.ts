import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { instanceText, parseInstance, type Instance } from '../core/redirect/instance.ts';
import {
  interceptSocketName,
  MessageLineReader,
  parseInterceptMessage,
  proxyMessageText,
  type FailureCode,
  type ProxyMessage,
} from '../core/redirect/messages.ts';
import type { Timers } from '../core/time.ts';
import type { Logger } from '../telemetry/log.ts';

/** What became of the kernel's rules, as far as intercept has said. */
export type InterceptState =
  /** Pods on this node are redirected to this instance. */
  | { readonly kind: 'applied'; readonly hash: string }
  /** A newer instance on this node has them: this one gets no new connections. */
  | { readonly kind: 'superseded' }
  | { readonly kind: 'failed'; readonly code: FailureCode }
  /** Intercept is not there, has not answered yet, or has removed the rules. */
  | { readonly kind: 'absent' };

export interface InterceptLinkOptions {
  /** Directory shared with intercept and nobody else; it lives as long as the pod. */
  readonly directory: string;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Milliseconds since the host booted; asked once in the life of a pod. */
  readonly uptimeMs: () => number;
}

/**
 * The proxy's end of the unix socket to intercept. It says where it serves and hears what became of it. What it said
 * last is said again to an intercept that comes later or comes back.
 */
export class InterceptLink {
  readonly #options: InterceptLinkOptions;
  readonly #server: Server;
  readonly #listeners = new Set<() => void>();
  #instance: Instance | undefined;
  #intention: Extract<ProxyMessage, { readonly kind: 'serving' | 'release' }> | undefined;
  #isDraining = false;
  #peer: Socket | undefined;
  #state: InterceptState = { kind: 'absent' };
  #onAnswer: (kind: 'removed' | 'failed') => void = () => undefined;

  constructor(options: InterceptLinkOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  get state(): InterceptState {
    return this.#state;
  }

  /** Called after `state` has changed. Returns the unsubscription. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Opens the socket. Throws what the file system or listen throws. */
  async listen(): Promise<void> {
    const path = join(this.#options.directory, interceptSocketName);
    this.#instance = await instanceOf(this.#options);
    // Left behind by a proxy that was killed.
    await rm(path, { force: true });
    this.#server.listen(path);
    await once(this.#server, 'listening');
    // Intercept is root without the capability to override permissions: for this file it is one of the others.
    await chmod(path, 0o666);
  }

  /** Pods are to be sent to `port`, one of `proxyPorts`, from now on. */
  serving(port: number): void {
    this.#intention = { kind: 'serving', port };
    this.#isDraining = false;
    this.#send(this.#intention);
  }

  /** This instance ends soon; any other on the node may take over at once. */
  draining(): void {
    this.#isDraining = true;
    this.#send({ kind: 'draining' });
  }

  /** The rules stay although this instance ends. */
  keep(): void {
    this.#send({ kind: 'keep' });
  }

  /** The node is released. Resolves when the rules are gone, with `unanswered` if that is not known after `timeoutMs`. */
  release(timeoutMs: number): Promise<'removed' | 'failed' | 'unanswered'> {
    this.#intention = { kind: 'release' };
    const answered = Promise.withResolvers<'removed' | 'failed' | 'unanswered'>();
    const cancel = this.#options.timers.after(timeoutMs, () => answered.resolve('unanswered'));
    this.#onAnswer = (kind) => answered.resolve(kind);
    this.#send(this.#intention);
    return answered.promise.finally(() => {
      cancel();
      this.#onAnswer = () => undefined;
    });
  }

  /** Closes the socket; intercept leaves the rules as they are. */
  async close(): Promise<void> {
    this.#peer?.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** A new connection is intercept after a restart; the old one, if any, is dead. */
  #accept(socket: Socket): void {
    this.#peer?.destroy();
    this.#peer = socket;
    const reader = new MessageLineReader();
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => this.#read(socket, reader, String(chunk)));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#closed(socket));
    this.#options.logger.info('intercept-connected');
    if (this.#instance !== undefined) this.#send({ kind: 'instance', instance: this.#instance });
    if (this.#intention !== undefined) this.#send(this.#intention);
    if (this.#isDraining) this.#send({ kind: 'draining' });
  }

  #closed(socket: Socket): void {
    if (this.#peer !== socket) return;
    this.#peer = undefined;
    this.#options.logger.warn('intercept-disconnected');
    this.#become({ kind: 'absent' });
  }

  #read(socket: Socket, reader: MessageLineReader, chunk: string): void {
    if (socket.destroyed) return;
    const read = reader.push(chunk);
    if (read.kind === 'lines' && read.lines.every((line) => this.#hear(line))) return;
    this.#options.logger.error('message-refused');
    socket.destroy();
  }

  #hear(line: string): boolean {
    const message = parseInterceptMessage(line);
    if (message === undefined) return false;
    this.#become(message.kind === 'removed' ? { kind: 'absent' } : message);
    if (message.kind === 'removed' || message.kind === 'failed') this.#onAnswer(message.kind);
    return true;
  }

  #become(state: InterceptState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }

  #send(message: ProxyMessage): void {
    if (this.#peer?.writable === true) this.#peer.write(`${proxyMessageText(message)}\n`);
  }
}

/** Kept in the pod's own directory: a restarted container is the same instance. */
async function instanceOf({ directory, uptimeMs }: InterceptLinkOptions): Promise<Instance> {
  const path = join(directory, 'instance');
  const known = parseInstance(await readFile(path, 'utf8').catch(() => ''));
  if (known !== undefined) return known;
  const instance = { startedAt: Math.floor(uptimeMs()), id: randomBytes(4).toString('hex') };
  await writeFile(path, instanceText(instance));
  return instance;
}
