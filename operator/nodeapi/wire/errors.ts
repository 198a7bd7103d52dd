/** Every way in which the node API refuses a call. The code is stable: clients, logs and docs rely on it. */
import { integer, object, oneOf, optional, text } from './decode.ts';
import type { Decoder } from './decode.ts';

export const refusals = {
  'not-leader': { status: 421, retryable: true, meaning: 'Another replica leads; the reply names it when known.' },
  'credential-missing': { status: 401, retryable: true, meaning: 'No bearer token, or not exactly one.' },
  'credential-malformed': { status: 401, retryable: true, meaning: 'The token is not a ServiceAccount token for us.' },
  'credential-expired': { status: 401, retryable: true, meaning: 'The token has ended.' },
  'credential-rejected': { status: 401, retryable: true, meaning: 'The API server does not accept the token.' },
  'review-unavailable': { status: 503, retryable: true, meaning: 'The token cannot be reviewed at the moment.' },
  'not-the-proxy': { status: 403, retryable: false, meaning: "The caller is not the proxy's ServiceAccount." },
  'not-bound-to-pod': { status: 403, retryable: false, meaning: 'The token names no single pod and node.' },
  'pod-unknown': { status: 403, retryable: true, meaning: 'No live proxy pod of ours has this uid.' },
  'node-mismatch': { status: 403, retryable: false, meaning: 'The pod runs on another node than the token names.' },
  'node-replaced': { status: 403, retryable: false, meaning: 'The node has another uid than the token names.' },
  'method-unknown': { status: 404, retryable: false, meaning: 'There is no such method.' },
  'verb-not-allowed': { status: 405, retryable: false, meaning: 'The method has another verb.' },
  'caller-not-allowed': { status: 403, retryable: false, meaning: 'This caller may not call this method.' },
  'protocol-unsupported': { status: 426, retryable: false, meaning: 'No protocol version is spoken by both.' },
  'request-malformed': { status: 400, retryable: false, meaning: 'The request does not decode.' },
  'request-too-large': { status: 413, retryable: false, meaning: 'The request is larger than the method allows.' },
  'rate-limited': { status: 429, retryable: true, meaning: 'The node calls more often than it may.' },
  overloaded: { status: 503, retryable: true, meaning: 'Too many sessions or calls at once.' },
  internal: { status: 500, retryable: true, meaning: 'The controller failed; its log says why.' },
} as const satisfies Record<string, { readonly status: number; readonly retryable: boolean; readonly meaning: string }>;

export type RefusalCode = keyof typeof refusals;

export const refusalCodes = Object.keys(refusals) as readonly RefusalCode[];

/** The body of every reply that is not a success. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
  readonly retryAfterMs?: number;
  /** `host:port` of the leader, with `not-leader`. */
  readonly leader?: string;
}

/** `host:port`; the host is a name, an IPv4 address or an IPv6 address in brackets. */
export const addressForm = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}$/u;

export const decodeRefusal: Decoder<Refusal> = object({
  code: oneOf(...refusalCodes),
  message: text({ max: 1024 }),
  retryAfterMs: optional(integer(0, 3_600_000)),
  leader: optional(text({ max: 280, form: addressForm })),
});
