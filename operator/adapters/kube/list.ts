import { MetaveilError } from '../../core/errors.ts';
import type { ApiFailure } from './failure.ts';
import { isRecord, recordAt, recordsAt, textAt, type RawObject } from './project/raw.ts';
import type { Transport } from './transport.ts';

export interface ListRequest {
  readonly path: string;
  /** Selectors. */
  readonly query: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export type ListOutcome =
  | { readonly kind: 'listed'; readonly resourceVersion: string }
  /** The continue token outlived the server's history; the list has to begin anew. */
  | { readonly kind: 'expired' }
  /** The API server answered something else than a list. */
  | { readonly kind: 'failed'; readonly failure: ApiFailure };

const objectsPerPage = 500;
const maxPageBytes = 32 << 20;
const pageDeadlineMs = 60_000;

/**
 * Lists all objects page by page and hands each page on, so that no more than one page of whole objects is in memory.
 * Without a resourceVersion: with `0` the API server would ignore the limit and might answer from the past.
 * Pages that are too large (anybody may create pods of a megabyte) are asked for again with fewer objects.
 *
 * @throws {MetaveilError} kubernetes-*, deadline-exceeded
 */
export async function listPages(
  transport: Transport,
  list: ListRequest,
  onPage: (objects: readonly RawObject[]) => void,
): Promise<ListOutcome> {
  let limit = objectsPerPage;
  let token = '';
  for (;;) {
    const reply = await transport.send({
      method: 'GET',
      path: list.path,
      query: { ...list.query, limit: String(limit), ...(token !== '' && { continue: token }) },
      signal: list.signal,
      deadlineMs: pageDeadlineMs,
      maxBytes: maxPageBytes,
    });
    if (reply.kind === 'too-large') {
      limit = smaller(limit, list.path);
      continue;
    }
    if (reply.kind === 'failed') {
      return reply.failure.status === 410 ? { kind: 'expired' } : reply;
    }
    const page = readPage(reply.value, list.path);
    onPage(page.objects);
    if (page.next === '') return { kind: 'listed', resourceVersion: page.resourceVersion };
    token = page.next;
  }
}

function smaller(limit: number, path: string): number {
  if (limit > 1) return Math.max(1, Math.floor(limit / 8));
  throw new MetaveilError('kubernetes-refused', `GET ${path}: one object has more than ${maxPageBytes} bytes`);
}

interface Page {
  readonly objects: readonly RawObject[];
  readonly next: string;
  readonly resourceVersion: string;
}

function readPage(value: unknown, path: string): Page {
  const metadata = isRecord(value) ? recordAt(value, 'metadata') : {};
  const resourceVersion = textAt(metadata, 'resourceVersion');
  if (!isRecord(value) || resourceVersion === '') {
    throw new MetaveilError('kubernetes-unavailable', `GET ${path}: the reply is not a list`);
  }
  return { objects: recordsAt(value, 'items'), next: textAt(metadata, 'continue'), resourceVersion };
}
