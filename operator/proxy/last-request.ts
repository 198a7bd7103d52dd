/**
 * The one cache of the request path. Clients keep a connection and ask the same again and again; parsing and deciding
 * cost more than all else that is ours, and both are pure. So a connection keeps its last request: what the bytes were
 * parsed into, and what was planned for it. Who asks and what is live is never taken from here.
 *
 * It is kept per connection and not for all, so that no pod's requests change how fast another is answered, or push
 * out what another asked for.
 */
import type { PolicySubject } from '../core/policy/decision.ts';
import type { AcceptedHosts, CanonicalRequest, ParsedRequest, RawRequest } from '../core/request/canonical.ts';
import { isSameRequest } from '../core/request/canonical.ts';
import { parseRequest } from '../core/request/parse.ts';
import type { Plan, Planned, Planner } from './plan.ts';

/** A connection's last request, if it was accepted by the parser. */
export interface LastRequest {
  readonly raw: RawRequest;
  readonly parsed: Extract<ParsedRequest, { kind: 'request' }>;
  /** For the subject that asked; a new snapshot has new subjects. */
  planned: { readonly subject: PolicySubject; readonly planned: Planned } | undefined;
}

/** A connection, as far as it is known here. */
export interface KeepsLastRequest {
  /** Replaced with every request. */
  last: LastRequest | undefined;
}

/** Characters of target and headers; clients send a few hundred. Bounds what many connections can hold. */
const longestRaw = 2_048;
/** Characters of a body. */
const longestBody = 4_096;

/** Parses a request of the connection, unless it is the last one again, byte for byte. */
export function parseOnce(raw: RawRequest, connection: KeepsLastRequest, hosts: AcceptedHosts): ParsedRequest {
  const { last } = connection;
  if (last !== undefined && isSameRequest(raw, last.raw)) return last.parsed;
  const parsed = parseRequest(raw, hosts);
  const isKept = parsed.kind === 'request' && lengthOf(raw) <= longestRaw;
  connection.last = isKept ? { raw, parsed, planned: undefined } : undefined;
  return parsed;
}

/** Plans a request that `parseOnce` returned for the connection, unless that was done for this very subject. */
export function planOnce(
  request: CanonicalRequest,
  subject: PolicySubject,
  { last }: KeepsLastRequest,
  planner: Planner,
): Planned {
  // A request that waited may meet a connection whose last request is another one by now.
  if (last?.parsed.request !== request) return planner.plan(request, subject);
  if (last.planned?.subject === subject) return last.planned.planned;
  const planned = planner.plan(request, subject);
  last.planned = isShort(planned.plan) ? { subject, planned } : undefined;
  return planned;
}

function isShort(plan: Plan): boolean {
  return plan.kind !== 'reply' || plan.reply.body.length <= longestBody;
}

function lengthOf({ target, rawHeaders }: RawRequest): number {
  return rawHeaders.reduce((sum, text) => sum + text.length, target.length);
}
