import type { AuthenticatedUser, TokenReview, TokenReviewer } from '../../nodeapi/server/ports.ts';
import type { KubeClient } from './client.ts';
import { isRecord, recordAt, textAt, wordsAt, type RawObject } from './project/raw.ts';

const apiVersion = 'authentication.k8s.io/v1';
const path = '/apis/authentication.k8s.io/v1/tokenreviews';
const deadlineMs = 8_000;

/** Asks the API server whose a token is. */
export class KubeTokenReviewer implements TokenReviewer {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async review(token: string, audience: string, signal: AbortSignal): Promise<TokenReview> {
    const body = { apiVersion, kind: 'TokenReview', spec: { token, audiences: [audience] } };
    const call = { method: 'POST', path, body: JSON.stringify(body), signal, deadlineMs } as const;
    const reply = await this.#client.transport.send(call).catch(() => undefined);
    // Nothing but the token can make this request a bad one.
    if (reply?.kind === 'failed' && reply.failure.status === 400) return { kind: 'rejected' };
    if (reply?.kind !== 'ok' || !isRecord(reply.value)) return { kind: 'unavailable' };
    return verdictOf(recordAt(reply.value, 'status'), audience);
  }
}

/** An API server that does not check audiences leaves status.audiences empty: such a token is not accepted. */
function verdictOf(status: RawObject, audience: string): TokenReview {
  if (status['authenticated'] !== true || !wordsAt(status, 'audiences').includes(audience)) return { kind: 'rejected' };
  const user = recordAt(status, 'user');
  const username = textAt(user, 'username');
  if (username === '') return { kind: 'rejected' };
  return { kind: 'authenticated', user: { username, uid: textAt(user, 'uid'), extra: extraOf(user) } };
}

function extraOf(user: RawObject): AuthenticatedUser['extra'] {
  const extra = recordAt(user, 'extra');
  return Object.fromEntries(Object.keys(extra).map((key) => [key, wordsAt(extra, key)]));
}
