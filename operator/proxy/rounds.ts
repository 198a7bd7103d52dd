/** What a source of requests can be told. */
export interface Pausable {
  /** Reads nothing more of what it sends. */
  pause(): void;
  resume(): void;
}

/** The requests of one source in the current round. */
export interface InRound extends Pausable {
  inRound: number;
}

/**
 * Gives every source its part of each round of the event loop, however much one of them sends: with the first request
 * over its part it is not read until the round is over. What it sends on waits in the kernel, where it costs only the
 * sender. Without this a new connection would wait for many long rounds: libuv takes one in each.
 */
export class Rounds {
  readonly #most: number;
  #sources: InRound[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Counts a request. */
  count(source: InRound): void {
    if (source.inRound === 0) this.#enter(source);
    source.inRound += 1;
    if (source.inRound === this.#most + 1) source.pause();
  }

  #enter(source: InRound): void {
    this.#sources.push(source);
    // Runs when all that had arrived before the round has been read.
    if (this.#sources.length === 1) setImmediate(() => this.#end());
  }

  #end(): void {
    const sources = this.#sources;
    this.#sources = [];
    for (const source of sources) {
      if (source.inRound > this.#most) source.resume();
      source.inRound = 0;
    }
  }
}
