/** Replies in the two forms Google has: OAuth's for the STS, google.rpc.Status for everything else. */

export interface Reply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly retryAfterSeconds?: number;
}

const statusNames: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
};

const generalMessages: Readonly<Record<number, string>> = {
  400: 'Request contains an invalid argument.',
  401: 'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.',
  403: 'The caller does not have permission',
  404: 'Requested entity was not found.',
  429: 'Resource has been exhausted (e.g. check quota).',
  500: 'Internal error encountered.',
  503: 'The service is currently unavailable.',
};

export function json(status: number, body: unknown): Reply {
  return { status, contentType: 'application/json; charset=UTF-8', body: JSON.stringify(body) };
}

/** The STS refuses with 400 whatever the reason. */
export function stsRefusal(error: string, description: string): Reply {
  return json(400, { error, error_description: description });
}

/** google.rpc.Status; `info` is a google.rpc.ErrorInfo. */
export function apiError(
  status: number,
  message = generalMessages[status] ?? 'Unknown error.',
  info?: { readonly reason: string; readonly domain: string; readonly metadata: Readonly<Record<string, string>> },
): Reply {
  const details =
    info === undefined ? {} : { details: [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', ...info }] };
  return json(status, { error: { code: status, message, status: statusNames[status] ?? 'UNKNOWN', ...details } });
}

/** What IAM says when a grant is missing, and also when the account may not be seen. */
export function permissionDenied(permission: string): Reply {
  return apiError(403, `Permission '${permission}' denied on resource (or it may not exist).`, {
    reason: 'IAM_PERMISSION_DENIED',
    domain: 'iam.googleapis.com',
    metadata: { permission },
  });
}

/** Paths that no API has are answered by the front end, not in JSON. */
export const noSuchPath: Reply = {
  status: 404,
  contentType: 'text/html; charset=UTF-8',
  body: '<!DOCTYPE html><html lang=en><title>Error 404 (Not Found)!!1</title><p>The requested URL was not found on this server.',
};
