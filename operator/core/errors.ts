/**
 * Errors that are thrown. Expected outcomes (a denied request, a rejected object) are values, not errors.
 * Messages never contain a token, a key or a raw reply of a server.
 */
export const errorCodes = {
  'kubernetes-unavailable': { retryable: true, meaning: 'The API server could not be reached or answered 5xx or 429.' },
  'kubernetes-conflict': {
    retryable: true,
    meaning: 'The object changed meanwhile, or another field manager owns a field.',
  },
  'kubernetes-refused': {
    retryable: false,
    meaning: 'The API server refused the request; the message has its reason.',
  },
  'kubernetes-not-found': { retryable: false, meaning: 'The object does not exist.' },
  'google-unavailable': { retryable: true, meaning: 'Google could not be reached, timed out or answered 5xx or 429.' },
  'google-permission-denied': { retryable: false, meaning: 'Google refused for lack of permission.' },
  'google-rejected': { retryable: false, meaning: 'Google refused the Kubernetes token or the request.' },
  'google-not-found': { retryable: false, meaning: 'The Google service account does not exist.' },
  'nodeapi-unavailable': { retryable: true, meaning: 'The controller could not be reached or did not answer in time.' },
  'nodeapi-refused': { retryable: false, meaning: 'The controller refused the call; the message names the rule.' },
  'invalid-input': {
    retryable: false,
    meaning: 'Input given by a user is not valid; the message says where and how to fix it.',
  },
  'invalid-configuration': {
    retryable: false,
    meaning: 'A flag, an environment variable or a mounted file is not usable.',
  },
  'deadline-exceeded': { retryable: true, meaning: 'A deadline of our own passed.' },
} as const satisfies Record<string, { readonly retryable: boolean; readonly meaning: string }>;

export type ErrorCode = keyof typeof errorCodes;

/** The one error class of the product. `code` is stable; `retryable` follows from it. */
export class MetaveilError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'MetaveilError';
    this.code = code;
  }

  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }
}

/** The code of anything thrown, or undefined for what is not ours. */
export function errorCodeOf(error: unknown): ErrorCode | undefined {
  return error instanceof MetaveilError ? error.code : undefined;
}
