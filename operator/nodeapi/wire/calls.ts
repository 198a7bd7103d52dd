/** Requests and replies of the methods that are not the watch. */
import type { ContentHash, PodUid } from '../../core/brand.ts';
import { maxCount } from '../../core/counting/tally.ts';
import type { ResourceKey } from '../../core/snapshot/types.ts';
import { maxAudienceLength, maxScopeLength, maxScopes } from '../../core/token/grants.ts';
import type { TokenOutcome, TokenRefusal, TokenWish } from '../../core/token/types.ts';
import { boolean, constant, integer, list, object, oneOf, optional, tagged, text } from './decode.ts';
import type { Decoder } from './decode.ts';
import { wireLimits } from './protocol.ts';
import { decodeContentHash, decodePodUid, decodeResourceKey } from './resources.ts';

/** One resource that the instance did not take over; the last good one stays in force, if there is one. */
export interface Nack {
  readonly key: ResourceKey;
  readonly hash: ContentHash;
  /** For people; at most 256 characters. */
  readonly reason: string;
}

export interface AckRequest {
  readonly version: ContentHash;
  readonly nacks: readonly Nack[];
  /** This instance accepts connections. */
  readonly ready: boolean;
}

export const maxNackReasonLength = 256;

export const decodeAckRequest: Decoder<AckRequest> = object({
  version: decodeContentHash,
  nacks: list(
    object({ key: decodeResourceKey, hash: decodeContentHash, reason: text({ max: maxNackReasonLength }) }),
    wireLimits.nacks,
  ),
  ready: boolean,
});

/** Reply to ack and report. */
export type Acknowledged = Readonly<Record<string, never>>;

export const decodeAcknowledged: Decoder<Acknowledged> = object({});

export interface TokenRequest {
  readonly workload: PodUid;
  readonly wish: TokenWish;
}

const wish: Decoder<TokenWish> = tagged('kind', {
  access: object({ kind: constant('access'), scopes: list(text({ max: maxScopeLength }), maxScopes) }),
  identity: object({
    kind: constant('identity'),
    audience: text({ max: maxAudienceLength }),
    format: oneOf('standard', 'full'),
  }),
});

export const decodeTokenRequest: Decoder<TokenRequest> = object({ workload: decodePodUid, wish });

/** A token on its way: what is left of its life, because the node's clock and the controller's may disagree. */
export interface SentToken {
  readonly token: string;
  /** Milliseconds, from when the reply is made. */
  readonly expiresInMs: number;
}

export type TokenReply =
  { readonly kind: 'issued'; readonly issued: SentToken } | Extract<TokenOutcome, { kind: 'refused' }>;

/** An outcome as the controller sends it at `now`, ms by its own clock. */
export function sentOutcome(outcome: TokenOutcome, now: number): TokenReply {
  if (outcome.kind === 'refused') return outcome;
  const { token, expiresAt } = outcome.issued;
  const expiresInMs = Math.min(Math.max(0, Math.floor(expiresAt - now)), wireLimits.tokenLifetimeMs);
  return { kind: 'issued', issued: { token, expiresInMs } };
}

/** A reply by the proxy's clock, counted from when it asked (ms): the way takes from a token's life, and never adds. */
export function receivedOutcome(reply: TokenReply, askedAt: number): TokenOutcome {
  if (reply.kind === 'refused') return reply;
  const { token, expiresInMs } = reply.issued;
  return { kind: 'issued', issued: { token, expiresAt: askedAt + expiresInMs } };
}

const sentToken: Decoder<SentToken> = object({
  token: text({ max: wireLimits.tokenLength, form: /^[!-~]+$/u }),
  expiresInMs: integer(0, wireLimits.tokenLifetimeMs),
});

const refusal: Decoder<TokenRefusal> = tagged('kind', {
  'unknown-workload': object({ kind: constant('unknown-workload') }),
  unbound: object({ kind: constant('unbound') }),
  'scope-not-allowed': object({ kind: constant('scope-not-allowed'), scope: text({ max: maxScopeLength }) }),
  'audience-not-allowed': object({
    kind: constant('audience-not-allowed'),
    audience: text({ max: maxAudienceLength }),
  }),
  'no-identity-tokens': object({ kind: constant('no-identity-tokens') }),
  'google-refused': object({
    kind: constant('google-refused'),
    status: integer(400, 599),
    reason: text({ max: 2048 }),
  }),
  unavailable: object({ kind: constant('unavailable'), retryAfterMs: integer(0, 3_600_000) }),
});

export const decodeTokenReply: Decoder<TokenReply> = tagged('kind', {
  issued: object({ kind: constant('issued'), issued: sentToken }),
  refused: object({ kind: constant('refused'), refusal }),
});

/** Decisions of one policy on the node since the last report. */
export interface DecisionCount {
  /** uid of the policy, '' for the default profile of the node's MetadataProxy. */
  readonly policy: string;
  /** `legacy` counts for every policy that selects the pod, and for '' where none does. */
  readonly decision: 'concealed' | 'would-conceal' | 'legacy';
  readonly count: number;
}

/** Requests of one workload to one legacy endpoint since the last report. */
export interface LegacyCount {
  readonly workload: PodUid;
  /** A name of core/request/endpoints; a receiver takes one that it does not know for `other`. */
  readonly endpoint: string;
  /** Whether the legacy APIs are open to the workload; what is concealed under v1 is concealed all the same. */
  readonly access: 'allowed' | 'denied';
  readonly count: number;
}

export interface DecisionSummary {
  readonly counts: readonly DecisionCount[];
  /** Absent: the proxy is of a version that does not tell. */
  readonly legacy?: readonly LegacyCount[];
}

export interface ReportRequest extends DecisionSummary {
  /** Grows from one report of an instance to the next: one that is sent again after a lost reply is counted once. */
  readonly sequence: number;
}

const count = integer(1, maxCount);

export const decodeReportRequest: Decoder<ReportRequest> = object({
  sequence: integer(1, Number.MAX_SAFE_INTEGER),
  counts: list(
    object({
      policy: text({ max: 128 }),
      decision: oneOf('concealed', 'would-conceal', 'legacy'),
      count,
    }),
    wireLimits.counts,
  ),
  legacy: optional(
    list(
      object({ workload: decodePodUid, endpoint: text({ max: 64 }), access: oneOf('allowed', 'denied'), count }),
      wireLimits.legacyCounts,
    ),
  ),
});

/** Leave has no parameters: the caller is the instance. */
export const decodeLeaveRequest: Decoder<Acknowledged> = object({});

export interface LeaveReply {
  readonly verdict: 'released' | 'keep';
}

export const decodeLeaveReply: Decoder<LeaveReply> = object({ verdict: oneOf('released', 'keep') });
