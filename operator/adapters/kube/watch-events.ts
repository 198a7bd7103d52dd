import { failureOfStatus, type ApiFailure } from './failure.ts';
import { linesOf } from './lines.ts';
import { isRecord, recordAt, textAt, type RawObject } from './project/raw.ts';

export type WatchEvent =
  | { readonly kind: 'changed'; readonly object: RawObject; readonly resourceVersion: string }
  | { readonly kind: 'deleted'; readonly object: RawObject; readonly resourceVersion: string }
  /** Nothing changed up to this version. */
  | { readonly kind: 'bookmark'; readonly resourceVersion: string }
  /** The server ends the watch, for example with 410 when the version is too old. */
  | { readonly kind: 'error'; readonly failure: ApiFailure }
  /** Not a watch event: whatever sent it, what follows cannot be trusted. */
  | { readonly kind: 'garbage' };

/** No object is anywhere near: etcd keeps at most 1.5 MiB of one. */
const longestLine = 16 << 20;

/** Reads a watch stream. Throws when the connection breaks and when a line is too long; garbage is an event. */
export async function* watchEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<WatchEvent> {
  for await (const line of linesOf(chunks, longestLine)) if (line.trim() !== '') yield parseEvent(line);
}

function parseEvent(line: string): WatchEvent {
  const event = parseLine(line);
  if (event === undefined || !isRecord(event['object'])) return { kind: 'garbage' };
  const { object } = event;
  if (event['type'] === 'ERROR') return { kind: 'error', failure: failureOfStatus(object) };
  const resourceVersion = textAt(recordAt(object, 'metadata'), 'resourceVersion');
  if (resourceVersion === '') return { kind: 'garbage' };
  return eventOf(event['type'], object, resourceVersion);
}

function eventOf(type: unknown, object: RawObject, resourceVersion: string): WatchEvent {
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
      return { kind: 'changed', object, resourceVersion };
    case 'DELETED':
      return { kind: 'deleted', object, resourceVersion };
    case 'BOOKMARK':
      return { kind: 'bookmark', resourceVersion };
    default:
      return { kind: 'garbage' };
  }
}

function parseLine(line: string): RawObject | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
