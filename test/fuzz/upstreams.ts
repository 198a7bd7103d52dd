/** Two servers that a request might meet, each written without a look at our parser. */

/** A strict one: the WHATWG parser of URLs, one decode of the path, the form parser of queries. */
export function strictReading(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const url = new URL(`http://metadata.google.internal${target}`);
  return { path: decodeURIComponent(url.pathname), query: url.searchParams };
}

/**
 * A sloppy one: decodes until nothing changes, takes backslashes for slashes, drops parameters of segments, resolves
 * dots, joins slashes and ignores case. What even it does not find at a concealed path cannot be reached there.
 */
export function sloppyReading(target: string): string {
  let path = target.split(/[?#]/, 1)[0] ?? '';
  for (let round = 0; round < 5; round += 1) path = unescapeOnce(path);
  const segments: string[] = [];
  for (const raw of path.replaceAll('\\', '/').toLowerCase().split('/')) {
    const segment = (raw.split(';', 1)[0] ?? '').trim();
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  return `/${segments.join('/')}`;
}

function unescapeOnce(text: string): string {
  return text.replaceAll(/%([0-9a-f]{2})/gi, (_escape, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
