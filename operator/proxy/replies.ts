import { codeHeader, type Denial } from '../core/request/denials.ts';
import type { ContentType } from '../core/tree/answer.ts';

/**
 * Resolves when what a reply was made of may have changed, at the latest when `signal` aborts; `timeoutMs` is until
 * then. Never rejects.
 */
export type ChangeSignal = (timeoutMs: number, signal: AbortSignal) => Promise<void>;

/** A whole reply. `Date` and the connection headers are added when it is sent. */
export interface Reply {
  readonly status: number;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: string;
  /** Of the body as it is sent. */
  readonly bytes: number;
  /** The connection ends with it. */
  readonly close: boolean;
  /** Where the value may change without a new snapshot of the node. */
  readonly changed?: ChangeSignal;
}

/** What Google's server calls itself on a VM; some clients look at it. */
const server = ['Server', 'Metadata Server for VM'] as const;
const flavor = ['Metadata-Flavor', 'Google', ...server] as const;

const contentHeaders: Readonly<Record<ContentType, readonly string[]>> = {
  'application/text': ['Content-Type', 'application/text', ...flavor],
  'application/json': ['Content-Type', 'application/json', ...flavor],
};

export function contentReply(contentType: ContentType, body: string, etag?: string): Reply {
  const headers = contentHeaders[contentType];
  return reply(200, etag === undefined ? headers : [...headers, 'ETag', etag], body);
}

/** The reply's entity tag, if it has one. */
export function etagOf(reply: Reply): string | undefined {
  const name = reply.headers.indexOf('ETag');
  return name === -1 ? undefined : reply.headers[name + 1];
}

/** To a directory with its slash. `location` is path and query, `host` the Host header that was accepted. */
export function redirectReply(host: string, location: string): Reply {
  return reply(301, ['Content-Type', 'text/html', 'Location', `http://${host}${location}`, ...flavor], `${location}\n`);
}

export function denialReply(denial: Denial): Reply {
  const headers = ['Content-Type', denial.contentType, 'X-Content-Type-Options', 'nosniff', codeHeader, denial.code];
  if (denial.metadataFlavor) headers.push(...flavor);
  if (denial.retryAfterSeconds !== undefined) headers.push('Retry-After', String(denial.retryAfterSeconds));
  if (denial.allow !== undefined) headers.push('Allow', denial.allow);
  return { ...reply(denial.status, headers, denial.body), close: denial.close };
}

function reply(status: number, headers: readonly string[], body: string): Reply {
  const bytes = Buffer.byteLength(body);
  return { status, headers: [...headers, 'Content-Length', String(bytes)], body, bytes, close: false };
}
