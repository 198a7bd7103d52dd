/** Requests as a pod could send them: honest ones, ones of known attacks, and both of them mutated. */
import fc from 'fast-check';
import type { RawRequest } from '../../operator/core/request/canonical.ts';
import { knownAttacks } from './corpus.ts';
import { ownEmails } from './reference.ts';
import { emulatedValues } from './worlds.ts';
import { vmDirectories, vmEmail, vmValues } from './vm.ts';

/** What a well-behaved client means; only set where nothing was mutated. */
export interface Intention {
  readonly path: readonly string[];
  readonly api: 'v1' | 'legacy';
  readonly slash: boolean;
  readonly recursive: boolean;
}

export interface FuzzRequest {
  readonly raw: RawRequest;
  readonly honest?: Intention;
}

/** The bytes on the wire, latin1. */
export function bytesOf({ method, target, httpVersion, rawHeaders }: RawRequest): string {
  let bytes = `${method} ${target} HTTP/${httpVersion}\r\n`;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    bytes += `${rawHeaders[index] ?? ''}: ${rawHeaders[index + 1] ?? ''}\r\n`;
  }
  return `${bytes}\r\n`;
}

const accountLeaves = ['token', 'identity', 'email', 'aliases', 'scopes'];
const accountPaths = ['default', ownEmails.bound, ownEmails.federated, vmEmail].flatMap((name) =>
  ['', ...accountLeaves].map((leaf) => ['instance', 'service-accounts', name, ...(leaf === '' ? [] : [leaf])]),
);
const absent = [['instance', 'nothing'], ['project', 'attributes', 'nothing'], ['instance', 'tags', '0'], ['nothing']];
const places: readonly (readonly string[])[] = [
  ...vmValues.map(({ path }) => path),
  ...emulatedValues.map(({ path }) => path),
  ...vmDirectories,
  ...accountPaths,
  ...absent,
];
const isDirectory = (path: readonly string[]): boolean =>
  vmDirectories.some((each) => each.join('/') === path.join('/')) ||
  (path[1] === 'service-accounts' && path.length === 3);

const renamed01 = new Map([
  ['instance/id', 'instance-id'],
  ['project/project-id', 'project-id'],
  ['project/numeric-project-id', 'numeric-project-id'],
  ['instance/network-interfaces', 'network'],
]);

function spelled01(path: readonly string[]): string | undefined {
  const moved = renamed01.get(path.join('/'));
  if (moved !== undefined) return `/0.1/meta-data/${moved}`;
  const isOddlyNamed = ['id', 'network', 'instance', 'project'].includes(path[1] ?? '');
  return path[0] === 'instance' && !isOddlyNamed ? ['/0.1/meta-data', ...path.slice(1)].join('/') : undefined;
}

const queries = [
  '',
  '?alt=json',
  '?alt=text',
  '?recursive=true',
  '?recursive=true&alt=text',
  '?recursive=True&alt=json',
];
const noise = ['', 'x=y', 'transport=alts', 'binding-enforcement=on', '%78=%ff', 'a=b&c=d', 'alt=json&x', 'x='];
const hosts = [
  'metadata.google.internal',
  'metadata',
  '169.254.169.254',
  'metadata.google.internal.:80',
  'METADATA.google.internal',
];
const extras = [
  [],
  ['User-Agent', 'curl/8.5.0', 'Accept', '*/*'],
  ['X-Forwarded-Proto', 'http'],
  ['Connection', 'keep-alive', 'x-goog-api-client', 'gl-python/3.13 auth/2.62.2'],
  ['Content-Length', '0'],
  ['accept-encoding', 'gzip, deflate'],
];
const pick = <T>(items: readonly T[], index: number): T => items[index % items.length] as T;

const roots = { v1: '/computeMetadata/v1', v1beta1: '/computeMetadata/v1beta1' };

/** A path in one of the APIs; the oldest has no name for some. */
function spelled(path: readonly string[], api: number): { readonly text: string; readonly api: Intention['api'] } {
  const oldest = api === 9 ? spelled01(path) : undefined;
  if (oldest !== undefined) return { text: oldest, api: 'legacy' };
  const root = api === 8 ? roots.v1beta1 : roots.v1;
  return { text: [root, ...path].join('/'), api: api === 8 ? 'legacy' : 'v1' };
}

/** A known query, then a key that means nothing; none is given twice, which would not be honest. */
function queryText(known: string, unknown: number): string {
  const ignored = unknown < noise.length ? pick(noise, unknown) : '';
  if (ignored === '' || (known !== '' && ignored.startsWith('alt'))) return known;
  return known === '' ? `?${ignored}` : `${known}&${ignored}`;
}

interface Style {
  readonly query: number;
  readonly unknown: number;
  readonly extra: number;
  readonly how: number;
}

function honestRequest(path: readonly string[], old: number, { query, unknown, extra, how }: Style): FuzzRequest {
  const { text, api } = spelled(path, old);
  const slash = isDirectory(path) && how !== 15;
  const usual = query < queries.length ? pick(queries, query) : '';
  const known = path.at(-1) === 'identity' ? '?audience=https://aud&format=full' : usual;
  const place = `${how % 2 === 0 ? text : text.replaceAll('@', '%40')}${slash ? '/' : ''}`;
  const flavor = [how === 3 ? 'metadata-flavor' : 'Metadata-Flavor', 'Google'];
  const raw: RawRequest = {
    method: how === 7 ? 'HEAD' : 'GET',
    target: place + queryText(known, unknown),
    httpVersion: '1.1',
    rawHeaders: ['Host', pick(hosts, how), ...flavor, ...pick(extras, extra)],
  };
  return { raw, honest: { path, api, slash, recursive: /recursive=true/i.test(known) } };
}

/** Small numbers, which shrink well, choose everything. */
const honest: fc.Arbitrary<FuzzRequest> = fc
  .tuple(fc.nat(places.length - 1), fc.nat(9), fc.nat(29), fc.nat(39), fc.nat(29), fc.nat(15))
  .map(([place, old, query, unknown, extra, how]) =>
    honestRequest(pick(places, place), old, { query, unknown, extra, how }),
  );

const fragments = [
  ...[
    '/',
    '//',
    '.',
    '..',
    '/../',
    '/./',
    '\\',
    '%2e',
    '%2E%2e',
    '%2f',
    '%5c',
    '%252e',
    '%25',
    '%',
    '%00',
    '%40',
    '%c0%ae',
  ],
  ...[
    '?',
    '#',
    '&',
    '=',
    ';',
    ';x=y',
    ':',
    '@',
    '*',
    '+',
    ' ',
    '\t',
    '\r\n',
    '\0',
    '\u0080',
    '\u00ff',
    '~',
    'http://a/',
    '..%2f',
  ],
  ...[
    'v1',
    'V1',
    'v1beta1',
    '0.1',
    'kube-env',
    'KUBE-ENV',
    'token',
    'default',
    'recursive=true',
    '%72ecursive=true',
    '/..;/',
  ],
  ...[
    'instance',
    'attributes',
    'service-accounts',
    'project',
    'computeMetadata',
    'team',
    '%u002e',
    vmEmail,
    ownEmails.bound,
  ],
  ...[
    '&recursive=true',
    '?recursive=true',
    '&recursive=false',
    '&alt=text',
    '&scopes=a',
    '&audience=b',
    '%252f',
    '%2540',
  ],
];
const headerGames: readonly (readonly string[])[] = [
  ['Metadata-Flavor', 'Google'],
  ['Metadata-Flavor', 'google'],
  ['X-Google-Metadata-Request', 'True'],
  ['X-Forwarded-For', '127.0.0.1'],
  ['x_forwarded_for', '127.0.0.1'],
  ['X-Original-URL', '/computeMetadata/v1/instance/attributes/kube-env'],
  ['Host', 'metadata.google.internal'],
  ['Host', 'evil.example'],
  ['Content-Length', '5'],
  ['Transfer-Encoding', 'chunked'],
  ['Transfer-Encoding ', 'chunked'],
  ['Upgrade', 'h2c'],
  ['Connection', 'Metadata-Flavor'],
  ['X', 'a\r\nHost: b'],
  ['', 'x'],
  ['Expect', '100-continue'],
  ['X-Metadata-Token', '\u00ff'],
];
const methods = ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'get', 'GET /', 'PATCH'];
const versions = ['1.0', '0.9', '2.0', '1.2', '1.1 '];

type Change = (raw: RawRequest, at: number, which: number) => RawRequest;

const onTarget =
  (change: (target: string, at: number, which: number) => string): Change =>
  (raw, at, which) => ({ ...raw, target: change(raw.target, at % (raw.target.length + 1), which) });

/** Replaces the segment at `at`. */
function swapSegment(target: string, at: number, replacement: (segment: string) => string): string {
  const start = target.lastIndexOf('/', at) + 1;
  const [segment = ''] = target.slice(start).split(/[/?]/, 1);
  return target.slice(0, start) + replacement(segment) + target.slice(start + segment.length);
}

const upper = (text: string): string => text.toUpperCase();
const hex = (character: string): string => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`;

const changes: readonly Change[] = [
  onTarget((target, at, which) => target.slice(0, at) + pick(fragments, which) + target.slice(at)),
  onTarget((target, at, which) => target.slice(0, at) + pick(fragments, which) + target.slice(at + (which % 12))),
  onTarget((target, at, which) => target.slice(0, at) + target.slice(at + 1 + (which % 12))),
  onTarget((target, at) => target.slice(0, at) + target.slice(at).replace(/[^/]/, hex)),
  onTarget(
    (target, at) => target.slice(0, at) + target.slice(at).replace(/[^/]/, (each) => hex(each).replace('%', '%25')),
  ),
  onTarget(
    (target, at, which) =>
      target.slice(0, at) +
      target.slice(at).replace('/', pick(['//', '/./', '\\', '%2f', '%252F', '/x/../', '%5C', ';/'], which)),
  ),
  onTarget((target, at) => swapSegment(target, at, upper)),
  onTarget((target, at, which) =>
    swapSegment(target, at, (segment) => (which % 2 === 0 ? `${segment}/${segment}` : `${segment};x`)),
  ),
  onTarget((target, at, which) =>
    swapSegment(target, at, () =>
      pick(['kube-env', 'token', '..', 'v1beta1', 'team', 'KUBE-ENV', 'default', vmEmail], which),
    ),
  ),
  onTarget(
    (target, _at, which) =>
      `${target}${target.includes('?') ? '&' : '?'}${pick(['recursive=true', 'recursive=false', 'alt=text', 'Recursive=true', '%72ecursive=true', 'x;recursive=true', 'scopes=b', 'audience=b'], which)}`,
  ),
  onTarget(
    (target, _at, which) =>
      pick(['http://metadata.google.internal', 'http://x', '//x', '/x/..', 'x', '/%2e'], which) + target,
  ),
  (raw, at, which) => ({
    ...raw,
    rawHeaders: raw.rawHeaders.toSpliced((at % 3) * 2, which % 3 === 0 ? 2 : 0, ...pick(headerGames, which)),
  }),
  (raw, _at, which) => ({ ...raw, rawHeaders: [...raw.rawHeaders, ...pick(headerGames, which)] }),
  (raw, _at, which) => (which % 4 === 0 ? { ...raw, method: pick(methods, which >> 2) } : raw),
  (raw, _at, which) => (which % 8 === 0 ? { ...raw, httpVersion: pick(versions, which >> 3) } : raw),
];

const mutation = fc.tuple(fc.nat(changes.length - 1), fc.nat(160), fc.nat(127));
type Mutation = readonly [number, number, number];

function mutated({ raw }: FuzzRequest, mutations: readonly Mutation[]): FuzzRequest {
  return { raw: mutations.reduce((each, [kind, at, which]) => pick(changes, kind)(each, at, which), raw) };
}

const attack: fc.Arbitrary<FuzzRequest> = fc.constantFrom(...knownAttacks).map((target) => ({
  raw: { method: 'GET', target, httpVersion: '1.1', rawHeaders: ['Host', 'metadata', 'Metadata-Flavor', 'Google'] },
}));
const randomBytes = fc.array(fc.nat(255), { maxLength: 60 }).map((codes) => String.fromCharCode(...codes));
const garbage: fc.Arbitrary<FuzzRequest> = fc.tuple(randomBytes, fc.nat(3)).map(([bytes, which]) => ({
  raw: {
    method: which === 3 ? bytes.slice(0, 8) : 'GET',
    target: which === 0 ? bytes : `/computeMetadata/v1/${bytes}`,
    httpVersion: '1.1',
    rawHeaders: ['Host', 'metadata', 'Metadata-Flavor', 'Google', ...(which === 2 ? [bytes.slice(0, 20), bytes] : [])],
  },
}));
const few = fc.array(mutation, { minLength: 1, maxLength: 3 });

/** Only the case of one segment is wrong: what conceals must not look at it, what reveals must. */
const shouted = fc
  .tuple(honest, fc.nat(160))
  .map(([{ raw }, at]) => ({ raw: onTarget((target) => swapSegment(target, at, upper))(raw, 0, 0) }));

export const requests: fc.Arbitrary<FuzzRequest> = fc.oneof(
  { weight: 8, arbitrary: honest },
  { weight: 9, arbitrary: fc.tuple(honest, few).map(([request, mutations]) => mutated(request, mutations)) },
  { weight: 1, arbitrary: shouted },
  { weight: 1, arbitrary: attack },
  { weight: 1, arbitrary: fc.tuple(attack, few).map(([request, mutations]) => mutated(request, mutations)) },
  { weight: 1, arbitrary: garbage },
);

/** What came before a request on its connection: something like it, because what is remembered of one may serve the other. */
export interface Sequence {
  readonly before?: FuzzRequest;
  readonly request: FuzzRequest;
}

const style = fc.record({ query: fc.nat(29), unknown: fc.nat(39), extra: fc.nat(29), how: fc.nat(15) });
const samePlace: fc.Arbitrary<Sequence> = fc
  .tuple(fc.nat(places.length - 1), fc.nat(9), style, style)
  .map(([place, old, first, second]) => ({
    before: honestRequest(pick(places, place), old, first),
    request: honestRequest(pick(places, place), old, second),
  }));
const alike: fc.Arbitrary<Sequence> = fc
  .tuple(honest, few, fc.boolean())
  .map(([request, mutations, isFirst]) =>
    isFirst
      ? { before: mutated(request, mutations), request }
      : { before: request, request: mutated(request, mutations) },
  );

export const sequences: fc.Arbitrary<Sequence> = fc.oneof(
  { weight: 2, arbitrary: requests.map((request) => ({ request })) },
  { weight: 1, arbitrary: samePlace },
  { weight: 1, arbitrary: alike },
);

/** What happens to the bytes of a request on its way: nothing, most of the time. */
export type WireEdit = (bytes: string) => string;

const wireFragments = [
  '\n',
  '\r',
  '\r\n',
  '\r\n\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  '\u00ff',
  'GET / HTTP/1.1\r\n',
  'Transfer-Encoding: chunked\r\n',
];
const wireEdits: readonly ((bytes: string, at: number, which: number) => string)[] = [
  (bytes, at, which) => bytes.slice(0, at) + pick(wireFragments, which) + bytes.slice(at),
  (bytes, at, which) => bytes.slice(0, at) + bytes.slice(at + 1 + (which % 8)),
  (bytes, at) => bytes.slice(0, at) + bytes.slice(at).replace('\r\n', '\n'),
  (bytes, at) => bytes.slice(0, at) + bytes.slice(at).replace('\r\n', '\r\n '),
  (bytes) => bytes + bytes,
];

export const wireEdit: fc.Arbitrary<WireEdit | undefined> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  fc.tuple(fc.nat(wireEdits.length - 1), fc.nat(300), fc.nat(63)).map(
    ([kind, at, which]) =>
      (bytes: string) =>
        pick(wireEdits, kind)(bytes, at % (bytes.length + 1), which),
  ),
);
