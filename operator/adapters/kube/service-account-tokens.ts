import { MetaveilError } from '../../core/errors.ts';
import type { IssuedToken } from '../../core/token/types.ts';
import type { ServiceAccountTokenRequest, ServiceAccountTokens } from '../../nodeapi/server/ports.ts';
import type { KubeClient } from './client.ts';
import { isRecord, recordAt, textAt } from './project/raw.ts';
import { objectPath, type ResourceType } from './resource.ts';

const serviceAccounts: ResourceType = {
  group: '',
  version: 'v1',
  kind: 'ServiceAccount',
  plural: 'serviceaccounts',
  namespaced: true,
};

/** Requests ServiceAccount tokens (TokenRequest). The tokens themselves appear in no message. */
export class KubeServiceAccountTokens implements ServiceAccountTokens {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async request(request: ServiceAccountTokenRequest, signal: AbortSignal): Promise<IssuedToken> {
    const { namespace, serviceAccount } = request;
    const path = objectPath(serviceAccounts, { namespace, name: serviceAccount.name }, 'token');
    const reply = await this.#client.request({
      method: 'POST',
      path,
      body: bodyOf(request),
      signal,
      deadlineMs: 10_000,
    });
    const status = isRecord(reply) ? recordAt(reply, 'status') : {};
    const issued = { token: textAt(status, 'token'), expiresAt: Date.parse(textAt(status, 'expirationTimestamp')) };
    if (issued.token === '' || Number.isNaN(issued.expiresAt)) {
      throw new MetaveilError('kubernetes-unavailable', `POST ${path}: the reply has no token`);
    }
    refuseOtherAccount(issued.token, request);
    return issued;
  }
}

function bodyOf({ audience, expirationSeconds, boundTo, serviceAccount }: ServiceAccountTokenRequest): object {
  return {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    metadata: { uid: serviceAccount.uid },
    spec: {
      audiences: [audience],
      expirationSeconds,
      ...(boundTo.kind === 'pod' && {
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: boundTo.name, uid: boundTo.uid },
      }),
    },
  };
}

/**
 * Newer API servers compare metadata.uid of the request themselves; the oldest that is supported does not. The token names
 * the uid it was made for: one of a ServiceAccount that was recreated under the same name is thrown away.
 */
function refuseOtherAccount(token: string, { namespace, serviceAccount }: ServiceAccountTokenRequest): void {
  const claims = recordAt(recordAt(claimsOf(token), 'kubernetes.io'), 'serviceaccount');
  if (textAt(claims, 'uid') === serviceAccount.uid) return;
  throw new MetaveilError(
    'kubernetes-conflict',
    `ServiceAccount ${namespace}/${serviceAccount.name} is no longer the one with uid ${serviceAccount.uid}`,
  );
}

/** Not verified: the API server itself has just sent it. */
function claimsOf(token: string): Readonly<Record<string, unknown>> {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return isRecord(claims) ? claims : {};
  } catch {
    return {};
  }
}
