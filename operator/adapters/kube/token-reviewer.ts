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
    const reply = await this.#client.request({ method: 'POST', path, body, signal, deadlineMs }).catch(() => undefined);
    return isRecord(reply) ? verdictOf(recordAt(reply, 'status'), audience) : { kind: 'unavailable' };
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
