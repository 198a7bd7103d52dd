/** The parts of nft's JSON (libnftables-json) that the table is made of, in the form in which nft lists them. */

export type Expression = { readonly [key: string]: unknown };

export interface NftSet {
  readonly name: string;
  readonly type: 'ipv4_addr' | 'ipv6_addr' | 'inet_service' | 'mark';
  readonly elem?: readonly unknown[];
}

export interface NftChain {
  readonly name: string;
  readonly type: 'nat' | 'filter';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output';
  /** A plain number: nft does not know its names for priorities in every hook. */
  readonly prio: number;
  readonly policy: 'accept';
}

export interface NftRule {
  readonly chain: string;
  readonly expr: readonly Expression[];
}

/** A family of addresses under the names that nft has for it. */
export type Family = 'ip' | 'ip6';

export const accept: Expression = { accept: null };
export const drop: Expression = { drop: null };
/** Counts the packets that get here; nft lists it with its numbers. */
export const counter: Expression = { counter: null };
export const reset: Expression = { reject: { type: 'tcp reset' } };

/** `FAMILY daddr @set` or `FAMILY saddr @set`. */
export function address(family: Family, field: 'saddr' | 'daddr', set: string): Expression {
  return match('==', { payload: { protocol: family, field } }, `@${set}`);
}

/** `tcp dport VALUE` or `tcp sport VALUE`; a text is a set as `@name`. */
export function tcpPort(field: 'sport' | 'dport', value: number | `@${string}`): Expression {
  return match('==', { payload: { protocol: 'tcp', field } }, value);
}

/** `tcp flags FLAG`: the flag is set, whatever others are. */
export function tcpFlag(flag: 'rst' | 'ack'): Expression {
  return match('in', { payload: { protocol: 'tcp', field: 'flags' } }, flag);
}

export function tcpSequence(value: number): Expression {
  return match('==', { payload: { protocol: 'tcp', field: 'sequence' } }, value);
}

/** `ct original FAMILY daddr @set`: where the connection was made to before it was redirected. */
export function originalAddress(family: Family, set: string): Expression {
  return match('==', { ct: { key: `${family} daddr`, dir: 'original' } }, `@${set}`);
}

export function originalPort(port: number): Expression {
  return match('==', { ct: { key: 'proto-dst', dir: 'original' } }, port);
}

export const isRedirected: Expression = match('in', { ct: { key: 'status' } }, 'dnat');

/** The packet comes from the host itself. */
export const isFromLoopback: Expression = match('==', { meta: { key: 'iif' } }, 'lo');

/** The way back to the source does not lead through the interface that the packet came from. */
export const isOffReversePath: Expression = match('==', { fib: { result: 'oif', flags: ['saddr', 'iif'] } }, false);

export function isRoutedElsewhereThan(interfaceName: string): Expression {
  return match('!=', { fib: { result: 'oifname', flags: ['saddr'] } }, interfaceName);
}

/** Packets of one source address: `burst` at once, then `perSecond`. */
export interface SourceLimit {
  readonly perSecond: number;
  readonly burst: number;
  /** Source addresses that are told apart. Of further ones nothing is over the limit. */
  readonly sources: number;
  /** A source is forgotten after so many seconds of silence. */
  readonly forgetAfter: number;
}

/** The packet's source sends more than its limit. nft lists neither the meter's set nor the sources in it. */
export function isOverLimit(family: Family, meter: string, limit: SourceLimit): Expression {
  const { perSecond: rate, burst, sources: size, forgetAfter: timeout } = limit;
  const key = { elem: { val: { payload: { protocol: family, field: 'saddr' } }, timeout } };
  return { meter: { name: meter, key, size, stmt: { limit: { rate, burst, per: 'second', inv: true } } } };
}

export function dnat(family: Family, addr: string, port: number): Expression {
  return { dnat: { family, addr, port } };
}

function match(op: '==' | '!=' | 'in', left: Expression, right: unknown): Expression {
  return { match: { op, left, right } };
}
