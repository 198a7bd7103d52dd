/** Cuts a byte stream into lines of a bounded length. */

export type Lines =
  | { readonly kind: 'lines'; readonly lines: readonly string[] }
  | { readonly kind: 'too-long' }
  | { readonly kind: 'not-utf8' };

const newline = 0x0a;

export class LineReader {
  readonly #maxBytes: number;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that `chunk` completes. After anything but `lines` the stream is of no use any more. */
  push(chunk: Uint8Array): Lines {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      if (!this.#keep(chunk.subarray(start, end))) return { kind: 'too-long' };
      const line = this.#takeLine();
      if (line === undefined) return { kind: 'not-utf8' };
      lines.push(line);
      start = end + 1;
    }
    return this.#keep(chunk.subarray(start)) ? { kind: 'lines', lines } : { kind: 'too-long' };
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
