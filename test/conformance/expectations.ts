/** What each operation must bring to each kind of pod, and the proof that Google would see the right principal. */
import assert from 'node:assert/strict';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import type { Asked, Reply } from './client-process.ts';
import type { Operation } from './clients/contract.ts';
import {
  googleServiceAccount,
  principalOf,
  projectId,
  storageEndpoint,
  zone,
  type ConformanceStage,
  type Identity,
} from './stage.ts';
import { buckets } from './storage.ts';

export const audience = 'https://audience.example';
/** Not the usual scope: nothing of it is cached unless it was asked for. */
export const narrowScope = 'https://www.googleapis.com/auth/devstorage.read_only';

/** The pool, as the e-mail of who has no Google service account. */
const federatedEmail = /^[\w.-]+\.id\.goog$/u;

/** Everything that can be asked; `fresh` where a library would otherwise answer from its own memory. */
export function questions(identity: Identity): readonly Asked[] {
  return [
    { operation: 'on-gce', fresh: true },
    { operation: 'project-id', fresh: true },
    { operation: 'zone' },
    { operation: 'universe-domain', fresh: true },
    { operation: 'email' },
    { operation: 'access-token', fresh: true },
    { operation: 'identity-token', audience, fresh: true },
    { operation: 'list-buckets', endpoint: storageEndpoint(identity) },
  ];
}

/** Throws an AssertionError unless the reply is what a pod of this kind must get. */
export async function assertReply(
  stage: ConformanceStage,
  identity: Identity,
  asked: Operation,
  reply: Reply,
): Promise<void> {
  if (!isGranted(identity, asked.operation)) {
    assert.equal(reply.ok, false, `an ${identity} pod got ${asked.operation}`);
    assertRefusal(reply);
    if (asked.operation === 'list-buckets') assertAnonymous(stage, identity);
    return;
  }
  assert.ok(reply.ok, `${asked.operation}: ${reply.ok ? '' : reply.error}`);
  const check = checks[asked.operation] as Check<Operation>;
  await check({ stage, identity, asked, value: reply.value });
}

interface Granted<Asked_ extends Operation> {
  readonly stage: ConformanceStage;
  readonly identity: Identity;
  readonly asked: Asked_;
  readonly value: string;
}

type Check<Asked_ extends Operation> = (granted: Granted<Asked_>) => void | Promise<void>;

type Checks = {
  readonly [Name in Operation['operation']]: Check<Extract<Operation, { readonly operation: Name }>>;
};

const checks: Checks = {
  'on-gce': ({ value }) => assert.equal(value, 'true'),
  'project-id': ({ value }) => assert.equal(value, projectId),
  zone: ({ value }) => assert.equal(value.split('/').at(-1), zone),
  'universe-domain': ({ value }) => assert.equal(value, 'googleapis.com'),
  email: ({ identity, value }) => {
    if (identity === 'bound') assert.equal(value, googleServiceAccount);
    else assert.match(value, federatedEmail);
  },
  'access-token': ({ stage, identity, value }) => assertPrincipal(stage, identity, value),
  'identity-token': ({ stage, asked, value }) => assertIdentityToken(stage, value, asked.audience),
  'list-buckets': ({ stage, identity, value }) => {
    assert.equal(value, buckets.join(','));
    assertPrincipal(stage, identity, stage.storages[identity].tokens.at(-1) ?? '');
  },
};

/** Whom the token that the emulated Google issued speaks for, and who obtained it. */
export function assertPrincipal(stage: ConformanceStage, identity: Identity, token: string): void {
  const known = stage.plane.google.whoIs(token);
  assert.ok(known, 'Google did not issue this token');
  if (identity === 'bound') {
    assert.ok(known.kind === 'service-account');
    assert.equal(known.email, googleServiceAccount);
    assert.equal(known.issuedTo, principalOf('bound'));
    return;
  }
  assert.ok(known.kind === 'federated');
  assert.equal(known.principal, principalOf(identity));
}

async function assertIdentityToken(stage: ConformanceStage, token: string, forWhom: string): Promise<void> {
  const keys = createRemoteJWKSet(new URL(stage.plane.google.certificatesUrl));
  const { payload } = await jwtVerify(token, keys, { audience: forWhom, issuer: 'https://accounts.google.com' });
  // Only with format=full; curl and gcloud ask for the other one.
  if (payload['email'] !== undefined) assert.equal(payload['email'], googleServiceAccount);
}

function isGranted(identity: Identity, operation: Operation['operation']): boolean {
  if (operation === 'identity-token') return identity === 'bound';
  return identity !== 'unbound' || !['email', 'access-token', 'list-buckets'].includes(operation);
}

function assertAnonymous(stage: ConformanceStage, identity: Identity): void {
  for (const token of stage.storages[identity].tokens) assert.equal(token, '');
}

/** The client's own sentence, in time, with no token in it: not a crash, not a hang. */
function assertRefusal(reply: Reply): void {
  assert.ok(!reply.ok);
  assert.notEqual(reply.error.trim(), '');
  assert.doesNotMatch(reply.error, /ya29\.|eyJ[\w-]{10}/u);
  assert.doesNotMatch(reply.error, /no answer in|ended with status|gcloud crashed|panic:|NullPointerException/u);
}
