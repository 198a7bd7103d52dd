import { connect, type Socket } from 'node:net';
import {
  interceptMessageText,
  MessageLineReader,
  parseProxyMessage,
  type InterceptMessage,
  type ProxyMessage,
} from '../core/redirect/messages.ts';
import type { Timers } from '../core/time.ts';
import type { Logger } from '../telemetry/log.ts';

const reconnectAfterMs = 200;

export interface ProxyConnectionOptions {
  /** Path of the proxy's unix socket. */
  readonly path: string;
  /** The only ports that the proxy may announce. */
  readonly ports: readonly number[];
  readonly timers: Timers;
  readonly logger: Logger;
  readonly onMessage: (message: ProxyMessage) => void;
  /** The proxy is gone, or was never there. */
  readonly onClosed: () => void;
}

/** Intercept's end of the unix socket. It connects again for as long as it is open: the proxy may start later or anew. */
export class ProxyConnection {
  readonly #options: ProxyConnectionOptions;
  #socket: Socket | undefined;
  #cancelReconnect: () => void = () => undefined;
  #isOpen = true;

  constructor(options: ProxyConnectionOptions) {
    this.#options = options;
    this.#connect();
  }

  /** Says nothing if the proxy is not there: it asks anew when it is back. */
  send(message: InterceptMessage): void {
    if (this.#socket?.writable === true) this.#socket.write(`${interceptMessageText(message)}\n`);
  }

  /** Resolves when what was said has been taken by the kernel, or the proxy is gone. */
  async close(): Promise<void> {
    this.#isOpen = false;
    this.#cancelReconnect();
    const socket = this.#socket;
    if (socket === undefined || socket.destroyed) return;
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
      socket.end(() => socket.destroy());
    });
  }

  #connect(): void {
    const { path, timers, logger, onClosed } = this.#options;
    const reader = new MessageLineReader();
    const socket = connect(path);
    let wasConnected = false;
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('connect', () => {
      wasConnected = true;
      logger.info('proxy-connected');
    });
    socket.on('data', (chunk) => this.#read(socket, reader, String(chunk)));
    // The cause does not matter: either way the proxy is not there.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (wasConnected) logger.warn('proxy-disconnected');
      onClosed();
      if (this.#isOpen) this.#cancelReconnect = timers.after(reconnectAfterMs, () => this.#connect());
    });
  }

  #read(socket: Socket, reader: MessageLineReader, chunk: string): void {
    if (socket.destroyed) return;
    const read = reader.push(chunk);
    const messages = read.kind === 'lines' ? read.lines.map((line) => this.#parse(line)) : [undefined];
    for (const message of messages) {
      if (message === undefined) {
        this.#options.logger.error('message-refused');
        socket.destroy();
        return;
      }
      this.#options.onMessage(message);
    }
  }

  #parse(line: string): ProxyMessage | undefined {
    return parseProxyMessage(line, this.#options.ports);
  }
}
