/** Turns a failing reply of Google into one of our errors, with Google's own words and nothing secret. */
import { MetaveilError, type ErrorCode } from '../../core/errors.ts';
import { serviceNames, type GoogleService } from './endpoints.ts';

export interface FailedReply {
  readonly service: GoogleService;
  /** HTTP status, not 2xx. */
  readonly status: number;
  readonly body: string;
}

/** What Google says went wrong: a code of its own and a sentence. */
interface Reason {
  readonly name: string;
  readonly sentence: string;
  /** google.rpc.ErrorInfo.reason, '' if absent. */
  readonly info: string;
}

const maxReasonLength = 400;
const tokenLike = /\beyJ[\w-]+(?:\.[\w-]*){0,4}|\bya29\.[\w.~+/=-]+/g;

/** ErrorInfo reasons of a 403 that no IAM grant cures; reading them as a missing grant would drop good tokens. */
const notAboutPermission = new Set([
  'SERVICE_DISABLED',
  'BILLING_DISABLED',
  'CONSUMER_INVALID',
  'CONSUMER_SUSPENDED',
  'ACCESS_TOKEN_SCOPE_INSUFFICIENT',
]);

/**
 * A reply counts as Google's refusal only in Google's own form. A block page of a proxy in between also says 403, and
 * taking it for a missing grant would drop tokens that still work.
 */
export function refusalOf(reply: FailedReply): MetaveilError {
  const reason = readReason(reply.body);
  const service = serviceNames[reply.service];
  if (reason === undefined) {
    const hint = reply.status < 500 ? ', in a form that is not Google’s: is a proxy in between?' : '';
    return new MetaveilError('google-unavailable', `${service} answered ${reply.status}${hint}`);
  }
  const text = [reason.name, reason.sentence].filter((part) => part !== '').join(': ');
  return new MetaveilError(codeFor(reply.status, reason), `${service} answered ${reply.status}: ${publicText(text)}`);
}

/** One bounded line without control characters and without anything that looks like a token. */
export function publicText(text: string): string {
  // Cut before the patterns run, so that a huge reply costs nothing; a token cut in half still matches.
  const line = text
    .slice(0, 16 * maxReasonLength)
    .replaceAll(tokenLike, '[redacted]')
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim();
  return line.length <= maxReasonLength ? line : `${line.slice(0, maxReasonLength - 1)}…`;
}

function codeFor(status: number, reason: Reason): ErrorCode {
  if (status >= 500 || status === 429 || status === 408) return 'google-unavailable';
  if (status === 403) return notAboutPermission.has(reason.info) ? 'google-rejected' : 'google-permission-denied';
  return status === 404 ? 'google-not-found' : 'google-rejected';
}

/** Two forms: OAuth's `{"error": "…", "error_description": "…"}` and Google APIs' `{"error": {…}}`. */
function readReason(body: string): Reason | undefined {
  const document = parseObject(body);
  const error = document?.['error'];
  if (typeof error === 'string') {
    return { name: error, sentence: textOf(document?.['error_description']), info: '' };
  }
  if (!isRecord(error)) return undefined;
  return { name: textOf(error['status']), sentence: textOf(error['message']), info: infoReason(error['details']) };
}

function infoReason(details: unknown): string {
  if (!Array.isArray(details)) return '';
  const info: unknown = details.find(
    (detail) => isRecord(detail) && textOf(detail['@type']).endsWith('google.rpc.ErrorInfo'),
  );
  return isRecord(info) ? textOf(info['reason']) : '';
}

function parseObject(body: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    return isRecord(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
