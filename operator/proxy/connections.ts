import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { mayTake, type Shares } from '../core/counting/share.ts';
import { canonicalAddress } from './address.ts';
import type { Connection } from './identify.ts';
import { Rounds, type InRound } from './rounds.ts';

export interface ConnectionLimits {
  /** Connections of all sources together. */
  readonly connections: number;
  /** Connections of one source address at a time. */
  readonly connectionsPerPod: number;
  /** Connections that a source address can have although the others have taken all that are not kept back for this. */
  readonly fewConnections: number;
  readonly connectionsKeptBack: number;
  /** Requests of one source address that wait for their reply at a time. */
  readonly requestsPerPod: number;
  readonly requestsPerConnection: number;
  /** Requests of one connection whose replies its peer has not taken. No known client sends a second one. */
  readonly pipelinedRequests: number;
  /** Bytes of replies to one source address that it has not taken; one reply alone may be longer. */
  readonly unreadBytesPerPod: number;
  /** The same of all source addresses together. */
  readonly unreadBytes: number;
  /** Requests of one source address in one round of the event loop. */
  readonly requestsPerRound: number;
}

/** What all sources have open together. */
interface Total {
  unreadBytes: number;
  readonly rounds: Rounds;
}

/** What one source address has open. */
class Source implements InRound {
  readonly sockets = new Set<Socket>();
  waiting = 0;
  unreadBytes = 0;
  inRound = 0;
  readonly all: Total;

  constructor(all: Total) {
    this.all = all;
  }

  pause(): void {
    for (const socket of this.sockets) socket.pause();
  }

  resume(): void {
    for (const socket of this.sockets) socket.resume();
  }
}

/** One request, from its arrival until its reply is taken or its connection ends. */
export interface Turn {
  replyBytes: number;
}

/** One open connection and what its source may still do. */
export class OpenConnection implements Connection {
  readonly address: string;
  pod: Connection['pod'] = undefined;
  last: Connection['last'] = undefined;
  readonly #source: Source;
  readonly #limits: ConnectionLimits;
  /** Made when the first request waits: most connections never have one that does. */
  #ending: AbortController | undefined;
  #isEnding = false;
  #unanswered = 0;
  #unreadBytes = 0;
  #isGone = false;
  #waiting = 0;
  #requests = 0;
  #isOver = false;

  constructor(address: string, source: Source, limits: ConnectionLimits) {
    this.address = address;
    this.#source = source;
    this.#limits = limits;
  }

  get ending(): AbortSignal {
    this.#ending ??= new AbortController();
    if (this.#isEnding) this.#ending.abort();
    return this.#ending.signal;
  }

  /** Whether a reply is outstanding that is not yet on its way: no other reply may be written before it. */
  get isBusy(): boolean {
    return this.#waiting > 0 || this.#unanswered > 1;
  }

  /** Whether the source has as many requests waiting as it may. */
  get isFull(): boolean {
    return this.#source.waiting >= this.#limits.requestsPerPod;
  }

  /** Whether the last request has come: no byte after it is interpreted, whatever else was sent with it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The reply under way, or just sent, ends the connection. */
  finish(): void {
    this.#isOver = true;
  }

  /** Counts a request. Returns whether the connection must end with its reply. */
  isLastRequest(): boolean {
    this.#requests += 1;
    return this.#requests >= this.#limits.requestsPerConnection;
  }

  /** Takes a request in; undefined if the peer sends on and on without taking the replies. */
  take(response: ServerResponse): Turn | undefined {
    this.#source.all.rounds.count(this.#source);
    if (this.#unanswered >= this.#limits.pipelinedRequests) return undefined;
    const turn = { replyBytes: 0 };
    this.#unanswered += 1;
    // It comes once; `once` would cost every request two objects more.
    response.on('close', () => this.#finish(turn));
    return turn;
  }

  /** Counts the bytes of a reply; false if its source has to read others first. */
  mayReply(turn: Turn, bytes: number): boolean {
    if (this.#isGone) return true;
    const { unreadBytes } = this.#source;
    if (unreadBytes > 0 && unreadBytes + bytes > this.#mostUnread) return false;
    turn.replyBytes = bytes;
    this.#left(bytes);
    return true;
  }

  /** Counts a request whose reply takes time. Returns how to end the count. */
  begin(): () => void {
    this.#source.waiting += 1;
    this.#waiting += 1;
    return () => {
      this.#source.waiting -= 1;
      this.#waiting -= 1;
    };
  }

  /** Lets everything on it that waits answer now. */
  end(): void {
    this.#isEnding = true;
    this.#ending?.abort();
  }

  /** The connection is gone, and with it what was to be sent on it. */
  closed(): void {
    this.end();
    this.#isGone = true;
    this.#left(-this.#unreadBytes);
  }

  /** The source's share: the less there is for all together, the less for one that has some already. */
  get #mostUnread(): number {
    const { unreadBytesPerPod, unreadBytes } = this.#limits;
    return Math.min(unreadBytesPerPod, unreadBytes - this.#source.all.unreadBytes);
  }

  /** Counts bytes that were left unread, or with a negative number those that were taken. */
  #left(bytes: number): void {
    this.#unreadBytes += bytes;
    this.#source.unreadBytes += bytes;
    this.#source.all.unreadBytes += bytes;
  }

  #finish(turn: Turn): void {
    if (this.#isGone) return;
    this.#unanswered -= 1;
    this.#left(-turn.replyBytes);
  }
}

/** All open connections, counted by source address, so that one pod's excess is refused to that pod only. */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #shares: Shares;
  readonly #sources = new Map<string, Source>();
  readonly #open = new Map<Duplex, OpenConnection>();
  readonly #total: Total;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
    this.#total = { unreadBytes: 0, rounds: new Rounds(limits.requestsPerRound) };
    const { connections: all, connectionsPerPod: each, fewConnections: few, connectionsKeptBack: keptBack } = limits;
    this.#shares = { each, all, few, keptBack };
  }

  /** Registers a new connection; undefined if its source has too many. */
  accept(socket: Socket): OpenConnection | undefined {
    this.#total.rounds.connected();
    const address = canonicalAddress(socket.remoteAddress ?? '') ?? '';
    const source = this.#sources.get(address) ?? new Source(this.#total);
    if (!mayTake(source.sockets.size, this.#open.size, this.#shares)) return undefined;
    source.sockets.add(socket);
    this.#sources.set(address, source);
    const open = new OpenConnection(address, source, this.#limits);
    this.#open.set(socket, open);
    socket.once('close', () => {
      this.#open.delete(socket);
      open.closed();
      source.sockets.delete(socket);
      if (source.sockets.size === 0) this.#sources.delete(address);
    });
    return open;
  }

  of(socket: Duplex): OpenConnection | undefined {
    return this.#open.get(socket);
  }

  endAll(): void {
    for (const open of this.#open.values()) open.end();
  }
}
