/** `generateAccessToken` and `generateIdToken` of the Service Account Credentials API. */
import { membersOf, type AccessTokens, type TokenIdentity } from './access-tokens.ts';
import type { Permission, ServiceAccountPolicies } from './iam-policies.ts';
import type { IdentityTokens } from './identity-tokens.ts';
import { apiError, json, permissionDenied, type Reply } from './replies.ts';

export interface IamRequest {
  /** E-mail or unique id, from the path. */
  readonly account: string;
  readonly method: 'generateAccessToken' | 'generateIdToken';
  /** Authorization header, '' if absent. Secret. */
  readonly authorization: string;
  /** Parsed JSON body; undefined if it is not an object. */
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

interface Account {
  readonly email: string;
  readonly uniqueId: string;
}

const sufficientScopes = ['https://www.googleapis.com/auth/cloud-platform', 'https://www.googleapis.com/auth/iam'];
const scopePattern = /^(?:https:\/\/[A-Za-z0-9._~/:-]+|openid|email|profile)$/;
const permissions: Readonly<Record<IamRequest['method'], Permission>> = {
  generateAccessToken: 'iam.serviceAccounts.getAccessToken',
  generateIdToken: 'iam.serviceAccounts.getOpenIdToken',
};

export interface IamCredentialsOptions {
  readonly now: () => number;
  /** Accounts the organisation lets have tokens for up to 12 hours. */
  readonly extendedLifetimes: ReadonlySet<string>;
}

export class IamCredentials {
  readonly #accounts: ServiceAccountPolicies;
  readonly #tokens: AccessTokens;
  readonly #identityTokens: IdentityTokens;
  readonly #options: IamCredentialsOptions;

  constructor(
    accounts: ServiceAccountPolicies,
    tokens: AccessTokens,
    identityTokens: IdentityTokens,
    options: IamCredentialsOptions,
  ) {
    this.#accounts = accounts;
    this.#tokens = tokens;
    this.#identityTokens = identityTokens;
    this.#options = options;
  }

  async handle(request: IamRequest): Promise<Reply> {
    const caller = this.#tokens.whoIs(/^Bearer (?<token>\S+)$/i.exec(request.authorization)?.groups?.['token'] ?? '');
    if (caller === undefined) return apiError(401);
    if (!caller.scopes.some((scope) => sufficientScopes.includes(scope))) return insufficientScope(request.method);
    const account = this.#accounts.find(request.account);
    if (account === undefined) return apiError(404, `Not found; Gaia id not found for email ${request.account}`);
    const permission = permissions[request.method];
    if (!this.#accounts.allows(account.email, permission, membersOf(caller))) return permissionDenied(permission);
    if (request.body === undefined) return apiError(400);
    return request.method === 'generateIdToken'
      ? await this.#identityToken(account, request.body)
      : this.#accessToken(account, caller, request.body);
  }

  #accessToken(account: Account, caller: TokenIdentity, body: Readonly<Record<string, unknown>>): Reply {
    const scopes = body['scope'];
    if (!isScopes(scopes)) return apiError(400);
    const seconds = lifetimeOf(body['lifetime']);
    if (seconds === undefined) return apiError(400);
    if (seconds === 0) return apiError(400, 'Lifetime of access token must be larger then zero.');
    if (seconds > (this.#options.extendedLifetimes.has(account.email) ? 43_200 : 3600)) {
      return apiError(
        400,
        `${account.email} can not have lifetimes of more than 1 hour. Use the Org Policy Constraint constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours.`,
      );
    }
    // Google gives whole seconds.
    const expiresAt = (Math.floor(this.#options.now() / 1000) + seconds) * 1000;
    const issuedTo = membersOf(caller)[0] ?? '';
    const accessToken = this.#tokens.issue({
      kind: 'service-account',
      email: account.email,
      issuedTo,
      scopes,
      expiresAt,
    });
    return json(200, { accessToken, expireTime: new Date(expiresAt).toISOString().replace('.000Z', 'Z') });
  }

  async #identityToken(account: Account, body: Readonly<Record<string, unknown>>): Promise<Reply> {
    const audience = body['audience'];
    if (typeof audience !== 'string' || audience === '') return apiError(400);
    const { email, uniqueId } = account;
    const claims = { audience, uniqueId, ...(body['includeEmail'] === true ? { email } : {}) };
    return json(200, { token: await this.#identityTokens.sign(claims) });
  }
}

function insufficientScope(method: string): Reply {
  return apiError(403, 'Request had insufficient authentication scopes.', {
    reason: 'ACCESS_TOKEN_SCOPE_INSUFFICIENT',
    domain: 'googleapis.com',
    metadata: {
      service: 'iamcredentials.googleapis.com',
      method: `google.iam.credentials.v1.IAMCredentials.${method.charAt(0).toUpperCase()}${method.slice(1)}`,
    },
  });
}

function isScopes(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((scope) => typeof scope === 'string' && scopePattern.test(scope))
  );
}

/** google.protobuf.Duration in JSON, for example `3600s`; absent: an hour. */
function lifetimeOf(value: unknown): number | undefined {
  if (value === undefined) return 3600;
  const seconds = typeof value === 'string' ? /^(?<seconds>\d{1,6})s$/.exec(value)?.groups?.['seconds'] : undefined;
  return seconds === undefined ? undefined : Number(seconds);
}
