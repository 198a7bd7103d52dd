/** `POST /v1/token` of the Security Token Service. */
import type { AccessTokens } from './access-tokens.ts';
import type { Provider, WorkloadIdentityPools } from './pools.ts';
import { json, stsRefusal, type Reply } from './replies.ts';
import { verifySubject, type VerifiedSubject } from './subject-token.ts';

const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange';
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';
const subjectTokenTypes = ['urn:ietf:params:oauth:token-type:jwt', 'urn:ietf:params:oauth:token-type:id_token'];
const maxLifetimeSeconds = 3600;
const audienceHint =
  'This value should be the full resource name of the Identity Provider. See https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token for the list of possible formats.';

/** Parameter → the values it may have; empty: any, but not none. */
const required: readonly (readonly [string, readonly string[]])[] = [
  ['grant_type', [grantType]],
  ['requested_token_type', [accessTokenType]],
  ['subject_token_type', subjectTokenTypes],
  ['subject_token', []],
  ['scope', []],
];

export class SecurityTokenService {
  readonly #pools: WorkloadIdentityPools;
  readonly #tokens: AccessTokens;
  readonly #now: () => number;

  constructor(pools: WorkloadIdentityPools, tokens: AccessTokens, now: () => number) {
    this.#pools = pools;
    this.#tokens = tokens;
    this.#now = now;
  }

  /** `form` is the request's application/x-www-form-urlencoded body. */
  async exchange(form: URLSearchParams): Promise<Reply> {
    const problem = parameterProblem(form);
    if (problem !== undefined) return stsRefusal('invalid_request', problem);
    const provider = this.#pools.find(form.get('audience') ?? '');
    if (provider === 'malformed') {
      return stsRefusal('invalid_request', `Invalid value for "audience". ${audienceHint}`);
    }
    if (provider === 'unknown') {
      return stsRefusal(
        'invalid_target',
        'The target service indicated by the "audience" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn\'t exist.',
      );
    }
    return await this.#exchangeAt(provider, form);
  }

  async #exchangeAt(provider: Provider, form: URLSearchParams): Promise<Reply> {
    const keys = this.#pools.keysOf(provider.issuer);
    const subject = await verifySubject(form.get('subject_token') ?? '', provider, keys, this.#now());
    if (subject.kind === 'refused') return stsRefusal(subject.error, subject.description);
    return this.#issue(subject, (form.get('scope') ?? '').split(' ').filter(Boolean));
  }

  /** A federated token never outlives the token it was exchanged for. */
  #issue(subject: VerifiedSubject, scopes: readonly string[]): Reply {
    const now = this.#now();
    const left = subject.expiresAt - Math.floor(now / 1000);
    const lifetime = Math.max(1, Math.min(left, maxLifetimeSeconds));
    const token = this.#tokens.issue({
      kind: 'federated',
      principal: subject.principal,
      principalSets: subject.principalSets,
      scopes,
      expiresAt: now + lifetime * 1000,
    });
    return json(200, {
      access_token: token,
      issued_token_type: accessTokenType,
      token_type: 'Bearer',
      expires_in: lifetime,
    });
  }
}

function parameterProblem(form: URLSearchParams): string | undefined {
  for (const [name, values] of required) {
    const given = form.getAll(name);
    if (given.length > 1) return `Parameter "${name}" must not be repeated.`;
    const value = given[0]?.trim() ?? '';
    if (value === '') return `Missing required parameter: ${name}`;
    if (values.length > 0 && !values.includes(value)) return `Invalid value for "${name}".`;
  }
  return undefined;
}
