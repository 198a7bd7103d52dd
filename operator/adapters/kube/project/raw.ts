/** Reading of JSON as the API server sends it. Every reader is total: what has another type counts as absent. */

export type RawObject = Readonly<Record<string, unknown>>;

/** The part of metadata that every projection needs. */
export interface RawMeta {
  readonly name: string;
  /** '' for a cluster-scoped object. */
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly creationTimestamp: string;
  readonly deleting: boolean;
}

/** Undefined unless there is a name: such an object could not be kept under any key. */
export function metaOf(raw: RawObject): RawMeta | undefined {
  const metadata = recordAt(raw, 'metadata');
  const name = textAt(metadata, 'name');
  if (name === '') return undefined;
  return {
    name,
    namespace: textAt(metadata, 'namespace'),
    uid: textAt(metadata, 'uid'),
    resourceVersion: textAt(metadata, 'resourceVersion'),
    labels: textsAt(metadata, 'labels'),
    annotations: textsAt(metadata, 'annotations'),
    creationTimestamp: textAt(metadata, 'creationTimestamp'),
    deleting: textAt(metadata, 'deletionTimestamp') !== '',
  };
}

export function isRecord(value: unknown): value is RawObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function recordAt(raw: RawObject, field: string): RawObject {
  const value = raw[field];
  return isRecord(value) ? value : nothing;
}

export function textAt(raw: RawObject, field: string): string {
  const value = raw[field];
  return typeof value === 'string' ? value : '';
}

export function flagAt(raw: RawObject, field: string): boolean {
  return raw[field] === true;
}

export function recordsAt(raw: RawObject, field: string): readonly RawObject[] {
  const value = raw[field];
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

export function wordsAt(raw: RawObject, field: string): readonly string[] {
  const value: unknown = raw[field];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** A map of strings; the same empty one for all objects that have none. */
export function textsAt(raw: RawObject, field: string): Readonly<Record<string, string>> {
  const entries = Object.entries(recordAt(raw, field)).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return entries.length === 0 ? noTexts : Object.fromEntries(entries);
}

/** True if the condition of that type is there and True. */
export function conditionHolds(status: RawObject, type: string): boolean {
  const condition = recordsAt(status, 'conditions').find((item) => item['type'] === type);
  return condition !== undefined && condition['status'] === 'True';
}

const nothing: RawObject = Object.freeze({});
const noTexts: Readonly<Record<string, string>> = Object.freeze({});
