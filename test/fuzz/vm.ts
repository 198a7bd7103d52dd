/**
 * The VM behind the proxy, every value of it recognisable wherever it turns up, and its metadata server. Written apart
 * from the emulator that the product ships.
 */
import { createHash } from 'node:crypto';
import type { Place } from './servers.ts';

/** Text, a list, or a directory; an array of directories has them under their indices. */
type Content = string | readonly string[] | readonly Directory[] | Directory;
interface Directory {
  readonly [name: string]: Content;
}

let made = 0;
/** A value that stands nowhere else. */
const mark = (): string => `mark${String((made += 1)).padStart(3, '0')}x`;
const markedList = (): readonly string[] => [mark(), mark()];
const numericMark = (): string => `8000${String((made += 1)).padStart(3, '0')}00000000008`;

/** Finds every marked value in a text. */
export const markPattern = /mark\d{3}x|8000\d{3}00000000008/g;

export const vmEmail = 'vm-account@developer.gserviceaccount.com';
export const nodeTokens = { token: mark(), identity: mark() };

const attributes = (keys: readonly string[]): Directory => Object.fromEntries(keys.map((key) => [key, mark()]));
const account: Directory = { aliases: ['default'], email: vmEmail, scopes: [mark()] };

export const instanceKeys = [
  ...['cluster-name', 'cluster-location', 'cluster-uid', 'created-by', 'enable-oslogin', 'kube-env', 'user-data'],
  ...['ssh-keys', 'startup-script', 'team', 'Team', 'a+b', 'x@y', 'secret-1', 'secret-2', 'v1', 'token'],
];

const vm: Directory = {
  instance: {
    attributes: attributes(instanceKeys),
    'cpu-platform': mark(),
    credentials: { key: mark() },
    description: '',
    disks: [
      { 'device-name': mark(), index: '0' },
      { 'device-name': mark(), index: '1' },
    ],
    'gce-workload-certificates': { 'workload-identities': mark() },
    'guest-attributes': { hostkeys: { 'ssh-rsa': mark() } },
    hostname: mark(),
    id: numericMark(),
    name: mark(),
    'network-interfaces': [{ ip: mark(), 'access-configs': [{ 'external-ip': mark() }], 'dns-servers': markedList() }],
    'partner-attributes': { partner: mark() },
    'service-accounts': { default: account, [vmEmail]: account },
    tags: markedList(),
    zone: mark(),
  },
  oslogin: { users: mark() },
  project: {
    attributes: attributes(['ssh-keys', 'enable-oslogin', 'google-compute-default-zone', 'team']),
    'numeric-project-id': numericMark(),
    'project-id': mark(),
  },
  universe: { 'universe-domain': mark() },
};

export interface Leaf {
  readonly path: readonly string[];
  /** The mark, or what the text is where it has none. */
  readonly text: string;
  /** Set for an item of a list: its list's path. */
  readonly listPath?: readonly string[];
}

/** All values below a path. */
export function leavesBelow(content: Content, path: readonly string[] = []): readonly Leaf[] {
  if (typeof content === 'string') return [{ path, text: content }];
  if (isList(content)) {
    return content.map((text, index) => ({ path: [...path, String(index)], text, listPath: path }));
  }
  return entriesOf(content).flatMap(([name, child]) => leavesBelow(child, [...path, name]));
}

/** All directories, the root among them. */
export function directoriesBelow(content: Content, path: readonly string[] = []): readonly (readonly string[])[] {
  if (typeof content === 'string' || isList(content)) return [];
  return [path, ...entriesOf(content).flatMap(([name, child]) => directoriesBelow(child, [...path, name]))];
}

/** A value as the server gives it as text. */
export interface Value {
  readonly path: readonly string[];
  readonly text: string;
}

/** All values that can be asked for, a list as one. */
export function valuesBelow(content: Content, path: readonly string[] = []): readonly Value[] {
  if (typeof content === 'string') return [{ path, text: content }];
  if (isList(content)) return [{ path, text: content.map((item) => `${item}\n`).join('') }];
  return entriesOf(content).flatMap(([name, child]) => valuesBelow(child, [...path, name]));
}

export const vmLeaves: readonly Leaf[] = leavesBelow(vm);
export const vmDirectories = directoriesBelow(vm);
export const vmValues: readonly Value[] = valuesBelow(vm);

/** Names in a directory of the VM, those of directories with a slash; undefined for what is none. */
export function listVm(path: readonly string[]): readonly string[] | undefined {
  const content = find(path);
  if (content === undefined || typeof content === 'string' || isList(content)) return undefined;
  return entriesOf(content).map(([name, child]) => (isDirectory(child) ? `${name}/` : name));
}

function isList(content: Content): content is readonly string[] {
  return Array.isArray(content) && content.every((item) => typeof item === 'string');
}

function isDirectory(content: Content): boolean {
  return typeof content !== 'string' && !isList(content);
}

function entriesOf(content: Directory | readonly Directory[]): readonly (readonly [string, Content])[] {
  return Object.entries(content as Directory);
}

function find(path: readonly string[]): Content | undefined {
  let at: Content | undefined = vm;
  for (const name of path) {
    if (at === undefined || typeof at === 'string') return undefined;
    at = Object.hasOwn(at, name) ? (at as Directory)[name] : undefined;
  }
  return at;
}

export interface VmReply {
  readonly status: number;
  readonly json: boolean;
  readonly body: string;
  readonly etag?: string;
}

/** What the VM's server answers; it serves whatever is asked properly. */
export function answerOfVm({ path, slash, query }: Place): VmReply {
  const credential = credentialAt(path);
  if (credential !== undefined) {
    return { status: 200, json: credential === 'token', body: nodeTokens[credential] };
  }
  const content = find(path);
  if (content === undefined) return { status: 404, json: false, body: 'nothing here' };
  if (isDirectory(content) !== slash) return { status: slash ? 404 : 301, json: false, body: 'slash' };
  const recursive = query.get('recursive') === 'true';
  const json = query.get('alt') === 'json' || (recursive && query.get('alt') !== 'text');
  const body = json ? JSON.stringify(toJson(content, path)) : textOf(content, path);
  return { status: 200, json, body, etag: createHash('sha256').update(body).digest('hex').slice(0, 16) };
}

function credentialAt([top, accounts, name, leaf, ...below]: readonly string[]): 'token' | 'identity' | undefined {
  const isAccount = top === 'instance' && accounts === 'service-accounts' && (name === 'default' || name === vmEmail);
  if (!isAccount || below.length > 0) return undefined;
  return leaf === 'token' || leaf === 'identity' ? leaf : undefined;
}

function textOf(content: Content, path: readonly string[]): string {
  if (typeof content === 'string') return content;
  return isList(content) ? content.map((item) => `${item}\n`).join('') : `${(listVm(path) ?? []).join('\n')}\n`;
}

const customNames = new Set(['attributes', 'service-accounts', 'guest-attributes', 'partner-attributes', 'hostkeys']);

function toJson(content: Content, path: readonly string[]): unknown {
  if (typeof content === 'string' || isList(content)) return content;
  if (Array.isArray(content)) {
    return (content as readonly Directory[]).map((child, index) => toJson(child, [...path, String(index)]));
  }
  const isCustom = customNames.has(path.at(-1) ?? '');
  return Object.fromEntries(
    entriesOf(content).map(([name, child]) => [isCustom ? name : camelCase(name), toJson(child, [...path, name])]),
  );
}

function camelCase(name: string): string {
  const [first = '', ...words] = name.split('-');
  return first + words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
}
