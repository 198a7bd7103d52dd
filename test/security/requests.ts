/** Requests as text: well-formed but for what a test changes. */

export const hostLine = 'Host: metadata.google.internal';
export const flavorLine = 'Metadata-Flavor: Google';

/** These lines, each ended, and the empty line that ends a request. */
export function lines(...text: readonly string[]): string {
  return [...text, '', ''].join('\r\n');
}

/** An honest request but for its target and further header lines. */
export function get(target: string, ...headers: readonly string[]): string {
  return lines(`GET ${target} HTTP/1.1`, hostLine, flavorLine, ...headers);
}
