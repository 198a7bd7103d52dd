/** Checks a Kubernetes token as the STS does; texts and the clock's tolerance are those Google was seen to have. */
import { compactVerify, decodeProtectedHeader, decodeJwt, errors, type JWTPayload } from 'jose';
import { mapAttributes, type Claims } from './attributes.ts';
import type { KeySet, Provider } from './pools.ts';

export interface VerifiedSubject {
  readonly kind: 'verified';
  /** `principal://iam.googleapis.com/…/subject/…`. */
  readonly principal: string;
  /** `principalSet://…` of the pool and of each mapped attribute. */
  readonly principalSets: readonly string[];
  /** Seconds since the epoch. */
  readonly expiresAt: number;
}

export interface RefusedSubject {
  readonly kind: 'refused';
  readonly error: 'invalid_grant' | 'invalid_request' | 'unauthorized_client';
  readonly description: string;
}

const algorithms = ['RS256', 'ES256'];
const skewSeconds = 60;
const maxSubjectBytes = 127;
const issuerUnreachable = "Error connecting to the given credential's issuer.";

/** `now` in ms since the epoch. */
export async function verifySubject(
  token: string,
  provider: Provider,
  keys: KeySet | undefined,
  now: number,
): Promise<VerifiedSubject | RefusedSubject> {
  const claims = decode(token);
  if (claims === undefined) return refused('invalid_request', 'Invalid value for "subject_token".');
  const problem =
    issuerProblem(claims, provider) ??
    audienceProblem(claims, provider) ??
    (await signatureProblem(token, keys)) ??
    timeProblem(claims, Math.floor(now / 1000));
  if (problem !== undefined) return refused('invalid_grant', problem);
  return subjectOf(claims, provider);
}

function decode(token: string): JWTPayload | undefined {
  try {
    const { alg } = decodeProtectedHeader(token);
    return alg !== undefined && algorithms.includes(alg) ? decodeJwt(token) : undefined;
  } catch {
    return undefined;
  }
}

function issuerProblem(claims: JWTPayload, provider: Provider): string | undefined {
  if (claims.iss === provider.issuer) return undefined;
  return `The issuer in ID Token ${claims.iss ?? 'null'} does not match the expected one in config: ${provider.issuer}.`;
}

function audienceProblem(claims: JWTPayload, provider: Provider): string | undefined {
  const audiences = typeof claims.aud === 'string' ? [claims.aud] : (claims.aud ?? []);
  if (audiences.some((audience) => provider.allowedAudiences.includes(audience))) return undefined;
  return `The audience in ID Token [${audiences.join(', ')}] does not match the expected audience.`;
}

async function signatureProblem(token: string, keys: KeySet | undefined): Promise<string | undefined> {
  if (keys === undefined) return issuerUnreachable;
  try {
    await compactVerify(token, keys, { algorithms });
    return undefined;
  } catch (error) {
    // An unknown key reads like an issuer that cannot be reached: Google would look for it there.
    const unknownKey = error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys;
    return unknownKey ? issuerUnreachable : 'Unable to verify the ID Token signature.';
  }
}

function timeProblem(claims: JWTPayload, now: number): string | undefined {
  const { iat, exp, nbf } = claims;
  const timely =
    typeof iat === 'number' &&
    typeof exp === 'number' &&
    iat <= now + skewSeconds &&
    exp > now - skewSeconds &&
    (nbf ?? iat) <= now + skewSeconds;
  return timely ? undefined : `ID Token issued at ${iat ?? 'null'} is stale to sign-in.`;
}

function subjectOf(claims: Claims & JWTPayload, provider: Provider): VerifiedSubject | RefusedSubject {
  const attributes = mapAttributes(provider.attributeMapping, claims);
  const subject = attributes.get('google.subject');
  if (subject === undefined || subject === '') {
    return refused('unauthorized_client', "The mapped attribute 'google.subject' must be of type STRING.");
  }
  if (Buffer.byteLength(subject) > maxSubjectBytes) {
    const limit = `exceeds the ${maxSubjectBytes} bytes limit`;
    return refused(
      'invalid_request',
      `The size of mapped attribute google.subject ${limit}. Either modify your attribute mapping or the incoming assertion to produce a mapped attribute that is less than ${maxSubjectBytes} bytes.`,
    );
  }
  const resource = `//iam.googleapis.com/${provider.pool}`;
  const sets = [...attributes].filter(([name]) => name.startsWith('attribute.'));
  return {
    kind: 'verified',
    principal: `principal:${resource}/subject/${subject}`,
    principalSets: [
      `principalSet:${resource}/*`,
      ...sets.map(([name, value]) => `principalSet:${resource}/${name}/${value}`),
    ],
    expiresAt: claims.exp ?? 0,
  };
}

function refused(error: RefusedSubject['error'], description: string): RefusedSubject {
  return { kind: 'refused', error, description };
}
