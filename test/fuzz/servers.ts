/**
 * Metadata servers as they might be, from the strictest to the sloppiest, each a row of a table: what would one make of
 * the bytes of a request? Read from RFC 9112 and RFC 3986 and from what servers are known to do; imports nothing, so
 * that it cannot repeat a mistake of the parser it judges.
 */

export interface Server {
  readonly name: string;
  /** Refuses what the RFCs and the metadata protocol do not allow; the others overlook it. */
  readonly strict: boolean;
  /** How often percent escapes of a path are decoded. */
  readonly decodes: number;
  /** Whether that is done before the path is split, so that `%2f` is a slash. */
  readonly decodesWhole: boolean;
  /** Resolves dot segments, after decoding. */
  readonly resolvesDots: boolean;
  readonly mergesSlashes: boolean;
  readonly foldsCase: boolean;
  readonly readsBackslash: boolean;
  /** Drops what follows a `;` in a segment. */
  readonly dropsParameters: boolean;
  /** Ends a path at a NUL byte. */
  readonly endsAtNul: boolean;
  readonly readsPlusAsSpace: boolean;
  /** Takes overlong UTF-8 and `%uXXXX` for the characters they stand for. */
  readonly readsOverlong: boolean;
  /** Which of two values of one query key counts. */
  readonly duplicates: 'refuse' | 'first' | 'last';
  /** Also `;` separates query parameters, and their names are compared without case. */
  readonly looseQuery: boolean;
}

const strictest: Server = {
  name: 'RFC 9112 and RFC 3986 to the letter',
  strict: true,
  decodes: 1,
  decodesWhole: false,
  resolvesDots: true,
  mergesSlashes: false,
  foldsCase: false,
  readsBackslash: false,
  dropsParameters: false,
  endsAtNul: false,
  readsPlusAsSpace: false,
  readsOverlong: false,
  duplicates: 'refuse',
  looseQuery: false,
};
const cleaning: Server = { ...strictest, strict: false, decodesWhole: true, mergesSlashes: true, duplicates: 'first' };

export const servers: readonly Server[] = [
  strictest,
  {
    ...strictest,
    name: 'one that decodes nothing',
    strict: false,
    decodes: 0,
    resolvesDots: false,
    duplicates: 'first',
  },
  { ...cleaning, name: 'Go: decodes, then path.Clean' },
  { ...cleaning, name: 'nginx: merges slashes, last key counts', duplicates: 'last' },
  { ...cleaning, name: 'one behind a decoding proxy: decodes twice', decodes: 2 },
  { ...cleaning, name: 'one that ignores case', foldsCase: true },
  { ...cleaning, name: 'one that reads a backslash as a slash', readsBackslash: true },
  { ...cleaning, name: 'Tomcat: drops ;parameters', dropsParameters: true, looseQuery: true },
  { ...cleaning, name: 'one of C strings: ends at NUL', endsAtNul: true, duplicates: 'last' },
  { ...cleaning, name: 'a form decoder: plus is a space', readsPlusAsSpace: true, duplicates: 'last' },
  {
    ...cleaning,
    name: 'the sloppiest: all of it, until nothing changes',
    decodes: 8,
    foldsCase: true,
    readsBackslash: true,
    dropsParameters: true,
    endsAtNul: true,
    readsOverlong: true,
    duplicates: 'last',
    looseQuery: true,
  },
];

/** Where a request leads. `path` is a v1 path, for `legacy` the one that has the same value. */
export interface Place {
  readonly api: 'root' | 'versions' | 'v1' | 'legacy';
  readonly path: readonly string[];
  readonly slash: boolean;
  readonly query: ReadonlyMap<string, string>;
}

/** `refused`: an error of the request. `nowhere`: well-formed, but no server has anything there. */
export type Reading = Place | 'refused' | 'nowhere';

interface Head {
  readonly method: string;
  readonly target: string;
  /** Its form is beyond doubt. */
  readonly strict: boolean;
  /** Has exactly the header that v1 asks for. */
  readonly flavored: boolean;
}

const requestLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP\/1\.1$/;
const headerLine =
  /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\x20-\x7e\t\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*$/;

/** What each of `servers` makes of one request; `bytes` is latin1 text and ends with its headers. */
export function readAll(bytes: string): readonly Reading[] {
  const head = headOf(bytes);
  return servers.map((server) => read(server, head));
}

/** What one server makes of it. */
export function readBy(server: Server, bytes: string): Reading {
  return read(server, headOf(bytes));
}

function headOf(bytes: string): Head {
  const [line = '', ...lines] = bytes.split('\r\n');
  const parts = requestLine.exec(line);
  const headers = headersOf(lines);
  if (parts === null || headers === undefined) {
    const [method = '', target = ''] = line.trimStart().split(/[ \t]+/);
    return { method, target, strict: false, flavored: false };
  }
  const [, method = '', target = ''] = parts;
  const flavors = headers.filter(([name]) => name === 'metadata-flavor').map(([, value]) => value);
  const strict = headers.filter(([name]) => name === 'host').length === 1 && headers.every(isStrictHeader);
  return { method, target, strict, flavored: flavors.length === 1 && flavors[0] === 'Google' };
}

type Header = readonly [name: string, value: string];

/** Undefined where a line is no header, or the last is not the empty one. */
function headersOf(lines: readonly string[]): readonly Header[] | undefined {
  if (lines.length < 2 || lines.at(-1) !== '' || lines.at(-2) !== '') return undefined;
  const headers: Header[] = [];
  for (const line of lines.slice(0, -2)) {
    const [, name = '', value = ''] = headerLine.exec(line) ?? [];
    if (name === '') return undefined;
    headers.push([name.toLowerCase(), value]);
  }
  return headers;
}

function isStrictHeader([name, value]: Header): boolean {
  if (name === 'transfer-encoding' || name === 'x-forwarded-for') return false;
  if (name === 'host') return /^(?:\[[0-9a-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]*)?$/.test(value);
  return name !== 'content-length' || value === '0';
}

function read(server: Server, head: Head): Reading {
  if (server.strict && !head.strict) return 'refused';
  if (head.method !== 'GET' && head.method !== 'HEAD') return 'refused';
  const target = originForm(server, head.target);
  const found = target === undefined ? 'refused' : readTarget(server, target);
  return server.strict && !head.flavored && needsFlavor(found) ? 'refused' : found;
}

/** The APIs before v1 did not ask for the header, and neither does the root. */
function needsFlavor(found: Reading): boolean {
  return typeof found === 'object' && (found.api === 'v1' || found.api === 'versions');
}

function readTarget(server: Server, target: string): Reading {
  const question = target.indexOf('?');
  const query = readQuery(server, question === -1 ? '' : target.slice(question + 1));
  const segments = readPath(server, question === -1 ? target : target.slice(0, question));
  return query === undefined || segments === undefined ? 'refused' : place(server, segments, query);
}

/** The path and query of an origin-form or absolute-form target. */
function originForm(server: Server, target: string): string | undefined {
  const absolute = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*/.exec(target);
  const local = absolute === null ? target : target.slice(absolute[0].length);
  if (server.strict) return local.startsWith('/') && !local.includes('#') ? local : undefined;
  const [withoutFragment = ''] = local.split('#', 1);
  return withoutFragment.startsWith('/') ? withoutFragment : `/${withoutFragment}`;
}

/** Nothing in it that any server would change, but case. */
const plainPath = /^(?:\/(?!\.+(?:\/|$))[A-Za-z0-9._~@:-]+)*\/?$/;

/** Decoded segments; the last one is '' if the path ends in a slash. */
function readPath(server: Server, path: string): readonly string[] | undefined {
  if (plainPath.test(path)) return fold(server, path).slice(1).split('/');
  if (server.strict && !/^(?:\/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)+$/.test(path)) return undefined;
  const whole = server.decodesWhole ? decode(server, path) : path;
  const slashed = server.readsBackslash ? whole.replaceAll('\\', '/') : whole;
  const raw = slashed.replace(/^\//, '').split('/');
  const segments = server.decodesWhole ? raw : raw.map((segment) => decode(server, segment));
  const plain = segments.map((segment) => simplify(server, segment));
  return walk(server, plain).map((segment) => fold(server, segment));
}

function decode(server: Server, text: string): string {
  let decoded = server.readsPlusAsSpace ? text.replaceAll('+', ' ') : text;
  for (let round = 0; round < server.decodes; round += 1) {
    if (server.readsOverlong) decoded = decodeOverlong(decoded);
    const next = decoded.replaceAll(/%([0-9A-Fa-f]{2})/g, (_escape, hex: string) => byte(hex));
    if (next === decoded) break;
    decoded = next;
  }
  return decoded;
}

function decodeOverlong(text: string): string {
  return text
    .replaceAll(/%u00([0-9A-Fa-f]{2})/g, (_escape, hex: string) => byte(hex))
    .replaceAll(/%[cC]0%([89a-bA-B][0-9A-Fa-f])/g, (_escape, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16) & 0x3f),
    );
}

function byte(hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

function simplify(server: Server, segment: string): string {
  const named = server.dropsParameters ? (segment.split(';', 1)[0] ?? '') : segment;
  return server.endsAtNul ? (named.split('\0', 1)[0] ?? '') : named;
}

function fold(server: Server, text: string): string {
  return server.foldsCase ? text.toLowerCase() : text;
}

function walk(server: Server, segments: readonly string[]): readonly string[] {
  const walked: string[] = [];
  segments.forEach((segment, index) => {
    const isLast = index === segments.length - 1;
    const isDot = server.resolvesDots && (segment === '.' || segment === '..');
    if (segment === '..' && isDot) walked.pop();
    if (isDot || (segment === '' && server.mergesSlashes)) {
      if (isLast) walked.push('');
    } else walked.push(segment);
  });
  return walked;
}

function readQuery(server: Server, text: string): ReadonlyMap<string, string> | undefined {
  const query = new Map<string, string>();
  for (const pair of text.split(server.looseQuery ? /[&;]/ : '&')) {
    if (pair === '') continue;
    const [key = '', ...rest] = pair.split('=');
    const name = decodeQuery(server, key);
    const known = query.has(name);
    if (known && server.duplicates === 'refuse' && queryKeys.has(name)) return undefined;
    if (!known || server.duplicates === 'last') query.set(name, decodeQuery(server, rest.join('=')));
  }
  return query;
}

/** Those that change a metadata server's answer. */
export const queryKeys: ReadonlySet<string> = new Set([
  ...['recursive', 'alt', 'wait_for_change', 'last_etag', 'timeout_sec', 'scopes', 'audience', 'format', 'licenses'],
]);

/** Every server reads a query as a form: `+` is a space. */
function decodeQuery(server: Server, text: string): string {
  const once = text.replaceAll('+', ' ').replaceAll(/%([0-9A-Fa-f]{2})/g, (_escape, hex: string) => byte(hex));
  return server.looseQuery ? once.toLowerCase() : once;
}

function place(server: Server, all: readonly string[], query: Place['query']): Place | 'nowhere' {
  const slash = all.length === 0 || all.at(-1) === '';
  const segments = slash ? all.slice(0, -1) : all;
  const [first, second, ...rest] = segments;
  if (first === undefined) return { api: 'root', path: [], slash, query };
  if (first === '0.1' && second === fold(server, 'meta-data')) {
    return { api: 'legacy', path: pathOf01(rest), slash, query };
  }
  const api = first === fold(server, 'computeMetadata') ? apiCalled(second) : undefined;
  return api === undefined ? 'nowhere' : { api, path: rest, slash, query };
}

function apiCalled(name: string | undefined): Place['api'] | undefined {
  if (name === undefined) return 'versions';
  if (name === 'v1') return 'v1';
  return name === 'v1beta1' ? 'legacy' : undefined;
}

/**
 * Names of the oldest API that are elsewhere in v1; the others are entries of instance/. All are read in any case of
 * letters: the API is gone, and which spellings it knew nobody can look up.
 */
const movedSince01: ReadonlyMap<string, readonly string[]> = new Map([
  ['instance-id', ['instance', 'id']],
  ['project-id', ['project', 'project-id']],
  ['numeric-project-id', ['project', 'numeric-project-id']],
  ['network', ['instance', 'network-interfaces']],
  ['auth-token', ['instance', 'service-accounts', 'default', 'token']],
  // Neither was there; who asks for one means the tree of that name.
  ['instance', ['instance']],
  ['project', ['project']],
]);

function pathOf01(segments: readonly string[]): readonly string[] {
  const [entry, ...rest] = segments;
  if (entry === undefined) return ['instance'];
  const name = entry.toLowerCase();
  const isToken = name === 'service-accounts' && rest.at(-1)?.toLowerCase() === 'acquire';
  const below = isToken ? [...rest.slice(0, -1), 'token'] : rest;
  return [...(movedSince01.get(name) ?? ['instance', name]), ...below];
}
