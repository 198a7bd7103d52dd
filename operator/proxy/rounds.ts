/** A source of requests. */
export interface InRound {
  /** Its requests in the current round. */
  inRound: number;
  /** Reads nothing more of what it sends. */
  pause(): void;
  resume(): void;
}

/** Rounds that a source is left unread at most. */
const mostRounds = 64;

/**
 * Gives every source its part of each round of the event loop, however much one of them sends: with the first request
 * over its part it is not read until the round is over. What it sends on waits in the kernel, where it costs only the
 * sender. libuv takes one new connection in each round; while there are any, whoever sends too much waits, so that
 * rounds are short.
 */
export class Rounds {
  readonly #most: number;
  /** That have sent something in this round. */
  #sources: InRound[] = [];
  readonly #paused = new Set<InRound>();
  #pausedRounds = 0;
  #hasConnected = false;
  #isUnderWay = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** Counts a request. */
  count(source: InRound): void {
    this.#begin();
    if (source.inRound === 0) this.#sources.push(source);
    source.inRound += 1;
    if (source.inRound !== this.#most + 1) return;
    source.pause();
    this.#paused.add(source);
  }

  /** There was a new connection, so that there may be another. */
  connected(): void {
    this.#hasConnected = true;
  }

  #begin(): void {
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    // Runs when all that had arrived before the round has been read.
    setImmediate(() => this.#end());
  }

  #end(): void {
    this.#isUnderWay = false;
    for (const source of this.#sources) source.inRound = 0;
    this.#sources = [];
    const goesOn = this.#hasConnected && this.#pausedRounds < mostRounds;
    this.#hasConnected = false;
    if (this.#paused.size === 0) return;
    if (goesOn) {
      this.#pausedRounds += 1;
      this.#begin();
    } else this.#resume();
  }

  #resume(): void {
    this.#pausedRounds = 0;
    for (const source of this.#paused) source.resume();
    this.#paused.clear();
  }
}
