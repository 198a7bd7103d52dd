import type { AcceptedHosts, ParsedRequest, RawRequest } from './canonical.ts';

/**
 * The only parse of what a pod sends. Never throws. `hosts` defaults to the metadata addresses and `cluster.local`.
 */
export declare function parseRequest(raw: RawRequest, hosts?: AcceptedHosts): ParsedRequest;
