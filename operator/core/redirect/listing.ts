/** Reads what `nft -j list table` says. Somebody else may have made the table: nothing about it is taken for granted. */
import { canonicalJson } from '../snapshot/canonical.ts';
import { counter } from './nft.ts';
import { parseMarker, type Marker } from './marker.ts';
import { markerSet, type Table } from './table.ts';

export interface ListedTable {
  readonly handle: number;
  /** Undefined: none of ours. */
  readonly marker?: Marker;
  /** Equal to `contentText` of a Table exactly if the kernel has that table and nothing else in it. */
  readonly content: string;
  /** Packets that its counters have counted since the table was loaded. */
  readonly counted: number;
}

export type Listing =
  { readonly kind: 'table'; readonly table: ListedTable } | { readonly kind: 'unreadable'; readonly reason: string };

/** Characters. Our own table has about 7,000. */
export const maxListingLength = 262_144;

type Fields = Readonly<Record<string, unknown>>;

/** `text` is all that nft printed for the one table. Never throws. */
export function readListing(text: string): Listing {
  if (text.length > maxListingLength) return { kind: 'unreadable', reason: 'the listing is too long' };
  const table = readTable(text);
  return table === undefined
    ? { kind: 'unreadable', reason: 'the listing is not in the form of libnftables-json' }
    : { kind: 'table', table };
}

/** Undefined also for JSON that is nested too deep to be written again. */
function readTable(text: string): ListedTable | undefined {
  try {
    const objects = objectsOf(JSON.parse(text));
    const handle = tableHandle(objects);
    if (handle === undefined) return undefined;
    const marker = markerOf(objects);
    const content = objects.filter((object) => !('metainfo' in object || 'table' in object));
    const counted = content.flatMap(countersOf).reduce((sum, packets) => sum + packets, 0);
    return { handle, counted, content: sortedText(content.map(normalised)), ...(marker !== undefined && { marker }) };
  } catch {
    return undefined;
  }
}

/** The text of a table for comparisons with a listing. */
export function contentText({ sets, chains, rules }: Table): string {
  const objects = [
    ...sets.map((set) => ({ set })),
    ...chains.map((chain) => ({ chain })),
    ...rules.map((rule) => ({ rule })),
  ];
  return sortedText(objects.map(normalised));
}

function objectsOf(document: unknown): readonly Fields[] {
  const objects = isFields(document) ? document['nftables'] : undefined;
  return Array.isArray(objects) && objects.every(isFields) ? objects : [];
}

function tableHandle(objects: readonly Fields[]): number | undefined {
  const tables = objects.filter((object) => 'table' in object).map(({ table }) => table);
  const [table] = tables;
  const handle = tables.length === 1 && isFields(table) ? table['handle'] : undefined;
  return Number.isSafeInteger(handle) ? (handle as number) : undefined;
}

function markerOf(objects: readonly Fields[]): Marker | undefined {
  const set = objects.map(({ set }) => set).find((set) => isFields(set) && set['name'] === markerSet);
  const elements = isFields(set) ? set['elem'] : undefined;
  if (!Array.isArray(elements) || elements.length !== 1) return undefined;
  const [element] = elements as readonly unknown[];
  const inner = isFields(element) ? element['elem'] : undefined;
  const comment = isFields(inner) ? inner['comment'] : undefined;
  return typeof comment === 'string' ? parseMarker(comment) : undefined;
}

function countersOf({ rule }: Fields): readonly number[] {
  const expressions = isFields(rule) && Array.isArray(rule['expr']) ? (rule['expr'] as readonly unknown[]) : [];
  return expressions.flatMap((each) => {
    const numbers = isFields(each) ? each['counter'] : undefined;
    const packets = isFields(numbers) ? numbers['packets'] : undefined;
    return Number.isSafeInteger(packets) ? [packets as number] : [];
  });
}

/** One object without what the kernel alone decides: handles, what was counted, the order of a set's elements. */
function normalised(object: Fields): Fields {
  return Object.fromEntries(
    Object.entries(object).map(([kind, body]) => [kind, isFields(body) ? normalisedBody(body) : body]),
  );
}

function normalisedBody(body: Fields): Fields {
  const fields = Object.entries(body).filter(([name]) => !isGivenByPlace(name));
  return Object.fromEntries(fields.map(([name, value]) => [name, normalisedField(name, value)]));
}

function normalisedField(name: string, value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  const items = value as readonly unknown[];
  if (name === 'elem') return items.map(canonicalJson).sort();
  return name === 'expr' ? items.map((each) => (isFields(each) && 'counter' in each ? counter : each)) : items;
}

function isGivenByPlace(field: string): boolean {
  return field === 'handle' || field === 'family' || field === 'table';
}

/** The order of rules within a chain counts; nft lists sets and chains in an order of its own. */
function sortedText(objects: readonly Fields[]): string {
  const keyed = objects.map((object) => ({ key: orderKey(object), text: canonicalJson(object) }));
  return keyed
    .sort((one, other) => (one.key < other.key ? -1 : Number(one.key > other.key)))
    .map(({ text }) => text)
    .join('\n');
}

function orderKey(object: Fields): string {
  const { rule } = object;
  if (isFields(rule)) return `rule ${canonicalJson(rule['chain'])}`;
  return canonicalJson(object);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
