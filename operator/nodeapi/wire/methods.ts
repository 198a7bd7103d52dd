/**
 * All methods of the node API and who may call them. What is not in this table does not exist, and nobody who is not
 * named in a row may call it.
 */

/** What the server found out about whoever calls; `nobody` has no credential that was accepted. */
export type CallerKind = 'proxy' | 'nobody';

export interface MethodRule {
  readonly verb: 'GET' | 'POST';
  readonly path: string;
  /** A proxy speaks for the one node its pod runs on; no request names a node. */
  readonly callers: readonly CallerKind[];
  /** Bytes of the request body. */
  readonly maxBodyBytes: number;
  /** What a call takes of what its node may ask, without its body; a token costs 1. */
  readonly cost: number;
}

export const methods = {
  /** The node's snapshot, then deltas and heartbeats, until either side ends it. */
  watch: { verb: 'GET', path: '/v1/watch', callers: ['proxy'], maxBodyBytes: 0, cost: 50 },
  /** Which version the instance took over, what of it it refused, and whether it serves. */
  ack: { verb: 'POST', path: '/v1/ack', callers: ['proxy'], maxBodyBytes: 512 * 1024, cost: 1 },
  /** A token for one live pod of the node. */
  token: { verb: 'POST', path: '/v1/token', callers: ['proxy'], maxBodyBytes: 32 * 1024, cost: 1 },
  /** Decision counters since the last report. */
  report: { verb: 'POST', path: '/v1/report', callers: ['proxy'], maxBodyBytes: 512 * 1024, cost: 1 },
  /** May the stopping instance take the node's rules along? */
  leave: { verb: 'POST', path: '/v1/leave', callers: ['proxy'], maxBodyBytes: 1024, cost: 50 },
} as const satisfies Record<string, MethodRule>;

export type MethodName = keyof typeof methods;

export const methodNames = Object.keys(methods) as readonly MethodName[];

const methodsByPath: ReadonlyMap<string, MethodName> = new Map(methodNames.map((name) => [methods[name].path, name]));

/** The method of a request path without its query; compared as a whole, nothing is decoded or normalised. */
export function methodAt(path: string): MethodName | undefined {
  return methodsByPath.get(path);
}

/** Default deny. */
export function mayCall(caller: CallerKind, method: MethodName): boolean {
  const allowed: readonly CallerKind[] = methods[method].callers;
  return caller !== 'nobody' && allowed.includes(caller);
}
