/** Verifies a binding by doing what a pod's token request does, with a Kubernetes token that is bound to nothing. */
import { errorCodeOf, MetaveilError } from '../../core/errors.ts';
import { cloudPlatformScope } from '../../core/names.ts';
import type { Timers } from '../../core/time.ts';
import { withDeadline } from '../../nodeapi/deadline.ts';
import type { AccessTokenExchange, GoogleCredentials, ServiceAccountTokens } from '../../nodeapi/server/ports.ts';
import type { VerificationOutcome, VerificationRequest, Verifier } from '../ports.ts';
import { federationSettings } from '../providers/federation.ts';

export interface GoogleVerifierOptions {
  readonly kubernetes: ServiceAccountTokens;
  readonly google: GoogleCredentials;
  readonly timers: Timers;
}

/** The shortest Kubernetes grants, and the longest our confinement allows for a token bound to nothing. */
const subjectTokenSeconds = 600;
const deadlineMs = 15_000;

export class GoogleVerifier implements Verifier {
  readonly #options: GoogleVerifierOptions;

  constructor(options: GoogleVerifierOptions) {
    this.#options = options;
  }

  async verify(request: VerificationRequest, signal: AbortSignal): Promise<VerificationOutcome> {
    try {
      const work = (within: AbortSignal) => this.#exchange(request, within);
      await withDeadline(this.#options.timers, deadlineMs, work, signal);
      return { kind: 'verified' };
    } catch (error) {
      return outcomeOf(error);
    }
  }

  /** The tokens are dropped here: that they were given is all that matters. */
  async #exchange({ binding, provider, serviceAccount }: VerificationRequest, signal: AbortSignal): Promise<void> {
    const settings = federationSettings(provider);
    if (settings === undefined) throw new MetaveilError('invalid-input', 'The provider exchanges no tokens.');
    const { namespace, name, uid } = serviceAccount;
    const subject = await this.#options.kubernetes.request(
      {
        namespace,
        serviceAccount: { name, uid },
        audience: settings.audience,
        expirationSeconds: subjectTokenSeconds,
        boundTo: { kind: 'unbound' },
      },
      signal,
    );
    const { scopes = [cloudPlatformScope] } = binding.spec;
    const exchange = { provider: settings, subjectToken: subject.token, target: targetOf(binding.spec), scopes };
    await this.#options.google.accessToken(exchange, signal);
  }
}

function targetOf(spec: VerificationRequest['binding']['spec']): AccessTokenExchange['target'] {
  const { googleServiceAccount, tokenLifetimeSeconds } = spec;
  if (googleServiceAccount === undefined) return { access: 'Direct' };
  return { access: 'Impersonate', googleServiceAccount, lifetimeSeconds: tokenLifetimeSeconds };
}

/** Only what Google itself decided says something about the binding. */
function outcomeOf(error: unknown): VerificationOutcome {
  const reason = error instanceof MetaveilError ? error.message.slice(0, 2048) : 'The exchange failed unexpectedly.';
  switch (errorCodeOf(error)) {
    case 'google-permission-denied':
      return { kind: 'permission-denied', reason };
    case 'google-rejected':
      return { kind: 'rejected', reason };
    case 'google-not-found':
      return { kind: 'not-found', reason };
    default:
      return { kind: 'unavailable', reason };
  }
}
