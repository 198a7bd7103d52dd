/** Connections that are open, by where they come from: until a call is made nobody knows whose they are. */
import type { Socket } from 'node:net';
import { SharedCounts, type Shares } from '../../core/counting/share.ts';

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
  readonly #bySource: SharedCounts<string>;

  constructor(shares: Shares) {
    this.#bySource = new SharedCounts(shares);
  }

  /** Ends it at once if its source has too many. */
  accept(socket: Socket): void {
    const source = socket.remoteAddress ?? '';
    if (!this.#bySource.take(source)) {
      socket.destroy();
      return;
    }
    socket.once('close', () => this.#bySource.giveBack(source));
  }
}
