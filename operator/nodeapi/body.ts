import type { IncomingMessage } from 'node:http';

export type Body =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'too-large' }
  /** The other side hung up. */
  | { readonly kind: 'gone' };

/**
 * The body as text, or why there is none; never throws. A message that is too large is not read further, but its
 * connection stays open, so that a reply can still be sent.
 */
export function readBody(message: IncomingMessage, maxBytes: number): Promise<Body> {
  const { promise, resolve } = Promise.withResolvers<Body>();
  const chunks: Buffer[] = [];
  let size = 0;
  message.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maxBytes) return void chunks.push(chunk);
    message.pause();
    resolve({ kind: 'too-large' });
  });
  message.on('end', () => resolve({ kind: 'text', text: Buffer.concat(chunks).toString('utf8') }));
  message.on('error', () => resolve({ kind: 'gone' }));
  message.on('close', () => resolve({ kind: 'gone' }));
  return promise;
}
