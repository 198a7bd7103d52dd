/**
 * Every refusal of the metadata server, in one closed list. Clients, users and tests rely on code, status and text:
 * clients hide the body, so the code also travels in the header `X-Metaveil-Code` and in the log line.
 */

/** Name of the header that carries a denial's code. */
export const codeHeader = 'X-Metaveil-Code';

export const concealedSentence = 'This metadata endpoint is concealed.';

interface DenialDefinition {
  readonly status: number;
  readonly text: string;
  /** What the server cannot frame with certainty ends the connection, so that nothing is read as a second request. */
  readonly close?: true;
  /** Google's server sends no Metadata-Flavor on the reply to a request that lacked it. */
  readonly withoutFlavor?: true;
}

export const denials = {
  'target-too-long': { status: 414, text: 'The request target is too long.', close: true },
  'headers-too-large': { status: 431, text: 'The request headers are too many or too long.', close: true },
  'malformed-header': { status: 400, text: 'A request header is malformed.', close: true },
  'http-version': { status: 400, text: 'The metadata server speaks HTTP/1.1 only.', close: true },
  'method-not-allowed': { status: 405, text: 'Only GET and HEAD are allowed.', close: true },
  framing: { status: 400, text: 'A metadata request has no body and no Transfer-Encoding.', close: true },
  'upgrade-refused': { status: 400, text: 'The metadata server does not upgrade connections.', close: true },
  'target-form': { status: 400, text: 'The request target must be a path.', close: true },
  'malformed-path': { status: 400, text: 'The path is not in its canonical form.', close: true },
  'malformed-query': { status: 400, text: 'The query is malformed.', close: true },
  'duplicate-parameter': { status: 400, text: 'A query parameter is given more than once.' },
  'invalid-parameter': { status: 400, text: 'A query parameter has an invalid value.' },
  'host-missing': { status: 400, text: 'Exactly one Host header is required.', close: true },
  'host-not-allowed': { status: 403, text: 'The Host header does not name the metadata server.', close: true },
  'forwarded-request': {
    status: 403,
    text: 'Forwarded requests are not allowed by the metadata server.',
    close: true,
  },
  'missing-metadata-flavor': {
    status: 403,
    text: 'Missing required header "Metadata-Flavor": "Google"\n',
    withoutFlavor: true,
  },
  'not-found': { status: 404, text: 'Not Found\n' },
  concealed: { status: 403, text: concealedSentence },
  legacy: { status: 403, text: 'Legacy metadata endpoints are disabled. Please use the /v1/ endpoint.' },
  'no-service-account': { status: 404, text: concealedSentence },
  'no-identity-tokens': { status: 404, text: 'This identity has no identity tokens.' },
  'audience-required': { status: 400, text: 'non-empty audience parameter required\n' },
  'audience-not-allowed': { status: 404, text: 'The audience is not in the idTokenAudiences of the binding.' },
  'scope-not-allowed': { status: 403, text: 'The scope is not in the scopes of the binding.' },
  'google-refused': { status: 403, text: 'Google refused the request.' },
  'unknown-workload': { status: 503, text: 'The calling pod is not known yet. Try again.' },
  'token-unavailable': { status: 503, text: 'No token could be obtained in time. Try again.' },
  'upstream-unavailable': { status: 503, text: "The node's metadata server did not answer in time. Try again." },
  'upstream-refused': { status: 403, text: "The node's metadata server refuses this request." },
  'not-ready': { status: 503, text: 'The metadata server has no configuration yet. Try again.' },
  'too-many-requests': { status: 429, text: 'Too many requests from this pod. Try again.' },
  internal: { status: 500, text: 'Internal Server Error' },
} as const satisfies Record<string, DenialDefinition>;

export type DenialCode = keyof typeof denials;

/** A refusal ready to be sent. The body is text/plain and never empty: Node clients show it. */
export interface Denial {
  readonly code: DenialCode;
  readonly status: number;
  readonly body: string;
  readonly contentType: 'text/plain; charset=utf-8';
  readonly metadataFlavor: boolean;
  /** The connection ends with this reply. */
  readonly close: boolean;
  /** Value of Retry-After; present with 429 and 503. */
  readonly retryAfterSeconds?: number;
  /** Value of Allow; present with 405. */
  readonly allow?: 'GET, HEAD';
}

/** The denial of `code`; `body` replaces the fixed text where a caller has something more exact to say. */
export function deny(code: DenialCode, body?: string): Denial {
  const definition: DenialDefinition = denials[code];
  return {
    code,
    status: definition.status,
    body: body ?? definition.text,
    contentType: 'text/plain; charset=utf-8',
    metadataFlavor: definition.withoutFlavor !== true,
    close: definition.close === true,
    ...(definition.status === 429 || definition.status === 503 ? { retryAfterSeconds: 1 } : {}),
    ...(definition.status === 405 ? { allow: 'GET, HEAD' } : {}),
  };
}

/** The refusal of a legacy path, which is printable because it was parsed. */
export function denyLegacy(spelling: string): Denial {
  return deny('legacy', `Legacy metadata endpoint accessed: ${spelling}\n${denials.legacy.text}`);
}
