/** Cuts a byte stream into lines of a bounded length. */

export interface Lines {
  /** Complete lines, up to the problem if there is one. */
  readonly lines: readonly string[];
  /** After it the stream is of no use any more. */
  readonly problem?: 'too-long' | 'not-utf8';
}

const newline = 0x0a;

export class LineReader {
  readonly #maxBytes: number;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that `chunk` completes. */
  push(chunk: Uint8Array): Lines {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      if (!this.#keep(chunk.subarray(start, end))) return { lines, problem: 'too-long' };
      const line = this.#takeLine();
      if (line === undefined) return { lines, problem: 'not-utf8' };
      lines.push(line);
      start = end + 1;
    }
    return this.#keep(chunk.subarray(start)) ? { lines } : { lines, problem: 'too-long' };
  }

  #keep(part: Uint8Array): boolean {
    this.#pendingBytes += part.length;
    if (this.#pendingBytes > this.#maxBytes) return false;
    if (part.length > 0) this.#pending.push(part);
    return true;
  }

  #takeLine(): string | undefined {
    const decoder = new TextDecoder('utf-8', { fatal: true });
    try {
      return this.#pending.map((part) => decoder.decode(part, { stream: true })).join('') + decoder.decode();
    } catch {
      return undefined;
    } finally {
      this.#pending = [];
      this.#pendingBytes = 0;
    }
  }
}
