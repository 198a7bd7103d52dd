/** Connections that are open, by where they come from: until a call is made nobody knows whose they are. */
import type { Socket } from 'node:net';
import { mayTake, type Shares } from '../../core/counting/share.ts';

export interface ConnectionLimits {
  /** `each`: of one source address. A node's instances need some 70: 32 for calls and a watch each. */
  readonly shares: Shares;
  /** Until TLS is agreed on, in ms. */
  readonly handshakeMs: number;
}

export const defaultConnectionLimits: ConnectionLimits = {
  shares: { each: 256, all: 65_536, few: 4, keptBack: 32_768 },
  handshakeMs: 10_000,
};

export class Connections {
  readonly #shares: Shares;
  readonly #bySource = new Map<string, number>();
  #open = 0;

  constructor(shares: Shares) {
    this.#shares = shares;
  }

  /** Ends it at once if its source has too many. */
  accept(socket: Socket): void {
    const source = socket.remoteAddress ?? '';
    if (!mayTake(this.#bySource.get(source) ?? 0, this.#open, this.#shares)) {
      socket.destroy();
      return;
    }
    this.#count(source, 1);
    socket.once('close', () => this.#count(source, -1));
  }

  #count(source: string, by: 1 | -1): void {
    this.#open += by;
    const open = (this.#bySource.get(source) ?? 0) + by;
    if (open === 0) this.#bySource.delete(source);
    else this.#bySource.set(source, open);
  }
}
