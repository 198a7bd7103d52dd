/** From a grant to a Google token: a Kubernetes token bound to the pod, exchanged at the provider. */
import { errorCodeOf, MetaveilError } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { IssuedToken, TokenRefusal } from '../../core/token/types.ts';
import type { Grant } from './authority.ts';
import type { GoogleCredentials, ServiceAccountTokens } from './ports.ts';

export interface ExchangePorts {
  readonly kubernetes: ServiceAccountTokens;
  readonly google: GoogleCredentials;
}

/** What the confinement of `serviceaccounts/token` allows at most; the token is used once, at once. */
const subjectTokenSeconds = 3600;

/** Throws what the ports throw. The Kubernetes token never leaves this function. */
export async function exchange(ports: ExchangePorts, grant: Grant, signal: AbortSignal): Promise<IssuedToken> {
  const { workload, provider, binding, wish } = grant;
  const subject = await ports.kubernetes.request(
    {
      namespace: workload.namespace,
      serviceAccount: workload.serviceAccount,
      audience: provider.audience,
      expirationSeconds: subjectTokenSeconds,
      boundTo: { kind: 'pod', name: workload.name, uid: workload.uid },
    },
    signal,
  );
  const common = { provider, subjectToken: subject.token };
  if (wish.kind === 'identity') {
    const { audience, format } = wish;
    const identity = { ...common, googleServiceAccount: binding.email, audience, includeEmail: format === 'full' };
    return ports.google.identityToken(identity, signal);
  }
  const target =
    binding.access === 'Direct'
      ? ({ access: 'Direct' } as const)
      : ({
          access: 'Impersonate',
          googleServiceAccount: binding.email,
          lifetimeSeconds: binding.tokenLifetimeSeconds,
        } as const);
  return ports.google.accessToken({ ...common, target, scopes: wish.scopes }, signal);
}

const googleStatus: Partial<Record<ErrorCode, number>> = {
  'google-permission-denied': 403,
  'google-rejected': 400,
  'google-not-found': 404,
};

/** What a failed exchange means to the pod. Google's own reason is passed on; everything else is worth a retry. */
export function refusalFor(error: unknown, retryAfterMs: number): TokenRefusal {
  const status = googleStatus[errorCodeOf(error) ?? 'google-unavailable'];
  if (status === undefined || !(error instanceof MetaveilError)) return { kind: 'unavailable', retryAfterMs };
  return { kind: 'google-refused', status, reason: error.message.slice(0, 2048) };
}
