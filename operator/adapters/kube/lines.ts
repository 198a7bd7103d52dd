import { MetaveilError } from '../../core/errors.ts';

const newline = 10;

/**
 * Cuts a byte stream into lines of UTF-8. What follows the last newline is dropped: a watch event is complete only with
 * its newline.
 *
 * @throws {MetaveilError} kubernetes-unavailable when a line has more than `maxBytes`
 */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<string> {
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      refuseLonger(size + end - start, maxBytes);
      yield Buffer.concat([...parts, chunk.subarray(start, end)]).toString('utf8');
      parts = [];
      size = 0;
      start = end + 1;
    }
    if (start < chunk.byteLength) parts.push(chunk.subarray(start));
    size += chunk.byteLength - start;
    refuseLonger(size, maxBytes);
  }
}

function refuseLonger(size: number, maxBytes: number): void {
  if (size <= maxBytes) return;
  throw new MetaveilError('kubernetes-unavailable', `the watch sent a line of more than ${maxBytes} bytes`);
}
