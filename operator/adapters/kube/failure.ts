import { MetaveilError, type ErrorCode } from '../../core/errors.ts';

/** A refusal by the API server as a value: metav1.Status, reduced to what callers decide on. */
export interface ApiFailure {
  readonly status: number;
  /** Machine-readable word, for example `Conflict`; '' if the reply was not a metav1.Status. */
  readonly reason: string;
  /** The server's sentence, one line, at most 500 characters. */
  readonly message: string;
  /** How long the server asks to be left alone. */
  readonly retryAfterMs: number | undefined;
  /** A server-side apply met fields that another manager owns. */
  readonly ownedByOthers: boolean;
}

const managerConflict = 'FieldManagerConflict';
const longestMessage = 500;
/** A server (or whoever answers in its place) must not be able to silence us for long. */
const longestRetryAfterMs = 60_000;

/** Reads a non-2xx reply. A body that is not a metav1.Status is never quoted: it may come from any proxy on the way. */
export function failureOf(status: number, body: string, retryAfter: string | undefined): ApiFailure {
  const found = statusFields(parseObject(body));
  return { ...found, status, retryAfterMs: retryAfterMs(retryAfter) ?? found.retryAfterMs };
}

/** Reads the metav1.Status that a watch carries in an ERROR event. */
export function failureOfStatus(object: unknown): ApiFailure {
  const fields = asRecord(object);
  const code = fields?.['code'];
  return { ...statusFields(fields), status: typeof code === 'number' ? code : 500 };
}

/** @param what was attempted, for example `PATCH /apis/apps/v1/…`; it begins the message */
export function errorOfFailure(what: string, failure: ApiFailure): MetaveilError {
  const { status, reason, message } = failure;
  return new MetaveilError(codeOf(status), `${what}: ${status}${reason && ` ${reason}`}${message && `: ${message}`}`);
}

/**
 * Maps what a connection throws. Only its code and the library's own sentence are kept, never a reply.
 * An error that is ours already passes unchanged.
 */
export function errorOfConnection(what: string, cause: unknown): MetaveilError {
  if (cause instanceof MetaveilError) return cause;
  const code = textOf(asRecord(cause)?.['code']);
  const message = cause instanceof Error ? oneLine(cause.message) : 'unknown error';
  return new MetaveilError('kubernetes-unavailable', `${what}: ${code && `${code}: `}${message}`);
}

/** The object has another uid than the request named. A patch is refused as an attempt to change it. */
export function isOtherUid({ status, message }: ApiFailure): boolean {
  return status === 409
    ? /uid mismatch|UID in precondition/i.test(message)
    : status === 422 && /metadata\.uid: Invalid value: .*: field is immutable/.test(message);
}

function codeOf(status: number): ErrorCode {
  if (status === 404) return 'kubernetes-not-found';
  if (status === 409) return 'kubernetes-conflict';
  if (status === 408 || status === 410 || status === 429 || status >= 500) return 'kubernetes-unavailable';
  return 'kubernetes-refused';
}

function statusFields(fields: Readonly<Record<string, unknown>> | undefined): Omit<ApiFailure, 'status'> {
  if (fields?.['kind'] !== 'Status') {
    return { reason: '', message: '', retryAfterMs: undefined, ownedByOthers: false };
  }
  const details = asRecord(fields['details']);
  const seconds = details?.['retryAfterSeconds'];
  const causes: unknown = details?.['causes'];
  return {
    reason: oneLine(textOf(fields['reason'])),
    message: oneLine(textOf(fields['message'])),
    retryAfterMs: typeof seconds === 'number' && seconds > 0 ? boundedDelay(seconds) : undefined,
    ownedByOthers: Array.isArray(causes) && causes.some((cause) => asRecord(cause)?.['reason'] === managerConflict),
  };
}

/** The header in seconds; the form with a date is not used by Kubernetes and is ignored. */
function retryAfterMs(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? boundedDelay(Number(header)) : undefined;
}

function boundedDelay(seconds: number): number {
  return Math.min(seconds * 1000, longestRetryAfterMs);
}

/** Control characters would let a message forge log lines. */
function oneLine(text: string): string {
  const flat = text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return flat.length <= longestMessage ? flat : `${flat.slice(0, longestMessage - 1)}…`;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return asRecord(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}
