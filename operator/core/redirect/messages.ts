/**
 * What the proxy and intercept say to each other: one line each, from a closed list. Intercept has the power over the
 * kernel's rules and the proxy faces the pods, so a line can choose among prepared things but never carry new ones.
 */
import { instanceText, parseInstance, type Instance } from './instance.ts';

/** The proxy's socket in the directory that the two containers share. */
export const interceptSocketName = 'intercept.sock';

/** Why rules are not in place. */
export const failureCodes = {
  'foreign-owner': 'A table of our name belongs to somebody else; it is left alone.',
  'tool-missing': 'The nft program is not there.',
  'kernel-refused': 'The kernel or nft refused the table.',
  'kernel-timeout': 'nft did not end in time.',
  'listing-unreadable': 'What nft lists cannot be read, so the table can be neither verified nor replaced.',
  'not-verified': 'The table was loaded, but what nft lists is not what was loaded.',
} as const satisfies Record<string, string>;

export type FailureCode = keyof typeof failureCodes;

/** From the proxy. The first line of a connection is `instance`. */
export type ProxyMessage =
  | { readonly kind: 'instance'; readonly instance: Instance }
  | { readonly kind: 'serving'; readonly port: number }
  | { readonly kind: 'draining' }
  /** The node is released: the table is to go. */
  | { readonly kind: 'release' }
  /** The proxy ends and the table stays. */
  | { readonly kind: 'keep' };

/** From intercept: what became of it. */
export type InterceptMessage =
  | { readonly kind: 'applied'; readonly hash: string }
  /** A newer instance has the table. */
  | { readonly kind: 'superseded' }
  | { readonly kind: 'removed' }
  | { readonly kind: 'failed'; readonly code: FailureCode };

/** Characters of a line without its end. */
export const maxMessageLength = 96;

export function proxyMessageText(message: ProxyMessage): string {
  switch (message.kind) {
    case 'instance':
      return `instance ${instanceText(message.instance)}`;
    case 'serving':
      return `serving ${message.port}`;
    case 'draining':
    case 'release':
    case 'keep':
      return message.kind;
  }
}

export function interceptMessageText(message: InterceptMessage): string {
  switch (message.kind) {
    case 'applied':
      return `applied ${message.hash}`;
    case 'failed':
      return `failed ${message.code}`;
    case 'superseded':
    case 'removed':
      return message.kind;
  }
}

/** Undefined for everything that is not on the list. A port is one of `ports`: no other service can be cut off. */
export function parseProxyMessage(line: string, ports: readonly number[]): ProxyMessage | undefined {
  const [word = '', argument = ''] = splitOnce(line);
  const instance = word === 'instance' ? parseInstance(argument) : undefined;
  if (instance !== undefined) return { kind: 'instance', instance };
  const port = word === 'serving' ? ports.find((each) => String(each) === argument) : undefined;
  if (port !== undefined) return { kind: 'serving', port };
  return line === 'draining' || line === 'release' || line === 'keep' ? { kind: line } : undefined;
}

/** Undefined for everything that is not on the list. */
export function parseInterceptMessage(line: string): InterceptMessage | undefined {
  const [word = '', argument = ''] = splitOnce(line);
  if (word === 'applied' && /^[0-9a-f]{8,64}$/.test(argument)) return { kind: 'applied', hash: argument };
  if (word === 'failed' && Object.hasOwn(failureCodes, argument))
    return { kind: 'failed', code: argument as FailureCode };
  return line === 'superseded' || line === 'removed' ? { kind: line } : undefined;
}

function splitOnce(line: string): readonly string[] {
  const space = line.indexOf(' ');
  return space === -1 ? [line] : [line.slice(0, space), line.slice(space + 1)];
}

export type MessageLines =
  { readonly kind: 'lines'; readonly lines: readonly string[] } | { readonly kind: 'too-long' };

/** Cuts what arrives into lines; a line that exceeds the bound ends the conversation. */
export class MessageLineReader {
  #pending = '';

  push(text: string): MessageLines {
    const lines = (this.#pending + text).split('\n');
    this.#pending = lines.pop() ?? '';
    const isTooLong = [...lines, this.#pending].some((line) => line.length > maxMessageLength);
    return isTooLong ? { kind: 'too-long' } : { kind: 'lines', lines };
  }
}
