/**
 * Last line of defence for text that reaches a log, a status or a terminal. The first is never to pass a token:
 * nothing here makes it safe to log one.
 */

/** Characters of one field; longer text is cut and marked. */
export const maxFieldLength = 512;

const redacted = '[redacted]';

/** Forms of credentials that are known by sight: JSON Web Tokens, Google access tokens, Bearer headers. */
const credentials = /eyJ[\w-]{8,}\.[\w.-]+|ya29\.[\w.-]+|\bBearer\s+\S+/giu;

/**
 * Control characters (C0, DEL, C1), line and paragraph separators, and the marks that turn the direction of text:
 * each of them makes a terminal or a viewer show something other than what is there.
 */
// eslint-disable-next-line no-control-regex -- finding control characters is the purpose
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

/** The text as it may be shown: credentials removed, unprintable characters visible, bounded. */
export function presentable(text: string): string {
  // Cut first: a tenant's megabyte must not be searched; twice the bound leaves room for a token at the cut.
  const head = text.slice(0, 2 * maxFieldLength);
  const shown = head.toWellFormed().replace(credentials, redacted).replace(unprintable, escape);
  return shown.length <= maxFieldLength && head.length === text.length ? shown : `${shown.slice(0, maxFieldLength)}…`;
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
