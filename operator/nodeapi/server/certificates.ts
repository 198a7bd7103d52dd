/**
 * The node API's own CA. A new one is trusted everywhere before it signs anything, and the old one stays trusted until
 * all that it signed has ended, so a rotation breaks no connection of a proxy that got the bundle late.
 */
import { MetaveilError } from '../../core/errors.ts';
import type { Clock } from '../../core/time.ts';
import { decodeJson, integer, list, object, optional, text } from '../wire/decode.ts';

/** ms since the epoch. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface Authority extends Validity {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8. Secret. */
  readonly key: string;
}

/** What the replicas share. Secret, because of the keys. */
export interface AuthorityState {
  readonly signing: Authority;
  /** Trusted already, signing after the overlap. */
  readonly next?: { readonly authority: Authority; readonly introducedAt: number };
  /** Signing before, without keys; trusted until then. */
  readonly previous: readonly { readonly certificate: string; readonly trustedUntil: number }[];
}

export interface ServerCertificate {
  /** PEM. Secret. */
  readonly key: string;
  /** PEM. */
  readonly certificate: string;
}

/** Makes keys and certificates (ECDSA P-256). */
export interface CertificateIssuer {
  createAuthority(validity: Validity): Promise<Authority>;
  issueServer(authority: Authority, names: readonly string[], validity: Validity): Promise<ServerCertificate>;
}

/** A Secret in the cluster, memory locally. */
export interface AuthorityStore {
  load(): Promise<{ readonly state: AuthorityState; readonly revision: string } | undefined>;
  /** `conflict` unless `revision` is still the stored one (undefined: there is none). */
  save(state: AuthorityState, revision: string | undefined): Promise<'saved' | 'conflict'>;
}

/** A ConfigMap that the proxies mount. */
export interface TrustBundle {
  /** PEM certificates. Called again with the same content is free. */
  publish(bundle: string): Promise<void>;
}

const minute = 60_000;
const day = 24 * 60 * minute;

export const certificateTimes = {
  authority: 365 * day,
  server: 7 * day,
  /** Kubelet brings a changed ConfigMap to every pod in about two minutes. */
  overlap: 60 * minute,
  /** Clocks of nodes may be behind. */
  backdating: 5 * minute,
} as const;

export type RotationStep = 'create' | 'introduce' | 'activate' | 'retire' | 'keep';

/** What is due. A state whose signing authority has ended is as good as none. */
export function planRotation(state: AuthorityState | undefined, now: number): RotationStep {
  if (state === undefined || state.signing.notAfter <= now) return 'create';
  if (state.next !== undefined && now - state.next.introducedAt >= certificateTimes.overlap) return 'activate';
  if (state.next === undefined && isDue(state.signing, now)) return 'introduce';
  return state.previous.some(({ trustedUntil }) => trustedUntil <= now) ? 'retire' : 'keep';
}

/** In its last third. */
export function isDue({ notBefore, notAfter }: Validity, now: number): boolean {
  return notAfter - now < (notAfter - notBefore) / 3;
}

/** All that is to be trusted now, as one PEM file. */
export function trustBundleOf({ signing, next, previous }: AuthorityState): string {
  const certificates = [signing.certificate, next?.authority.certificate, ...previous.map((old) => old.certificate)];
  return certificates
    .filter((certificate) => certificate !== undefined)
    .map((certificate) => `${certificate.trimEnd()}\n`)
    .join('');
}

export interface CertificatesOptions {
  readonly store: AuthorityStore;
  readonly bundle: TrustBundle;
  readonly issuer: CertificateIssuer;
  readonly clock: Clock;
  /** DNS names of the server; the proxies ask for the first. */
  readonly names: readonly string[];
}

export interface CertificateOutcome {
  /** What was done to the shared state. */
  readonly step: RotationStep;
  /** A certificate to serve from now on; undefined: keep the one there is. */
  readonly renewed: ServerCertificate | undefined;
}

const maxConflicts = 5;

export class Certificates {
  readonly #options: CertificatesOptions;
  #serving: (Validity & { readonly signedBy: string }) | undefined;

  constructor(options: CertificatesOptions) {
    this.#options = options;
  }

  /**
   * Does what is due; call it every few minutes. Only the leader changes the shared state; a follower gets its server
   * certificate from what is there. Throws what the ports throw, and kubernetes-conflict after too many conflicts.
   */
  async reconcile(role: 'leader' | 'follower'): Promise<CertificateOutcome> {
    for (let attempt = 0; attempt < maxConflicts; attempt += 1) {
      const outcome = role === 'leader' ? await this.#lead() : await this.#follow();
      if (outcome !== 'conflict') return outcome;
    }
    throw new MetaveilError('kubernetes-conflict', 'the CA of the node API is changed by others all the time');
  }

  /** Whether a server certificate was issued: false on a follower that waits for the first leader to make the CA. */
  get serving(): boolean {
    return this.#serving !== undefined;
  }

  async #lead(): Promise<CertificateOutcome | 'conflict'> {
    const { store, bundle, clock } = this.#options;
    const stored = await store.load();
    const step = planRotation(stored?.state, clock.now());
    const state = await this.#take(step, stored?.state);
    if (step !== 'keep' && (await store.save(state, stored?.revision)) === 'conflict') return 'conflict';
    await bundle.publish(trustBundleOf(state));
    return { step, renewed: await this.#renew(state.signing) };
  }

  async #follow(): Promise<CertificateOutcome> {
    const stored = await this.#options.store.load();
    return { step: 'keep', renewed: stored === undefined ? undefined : await this.#renew(stored.state.signing) };
  }

  async #take(step: RotationStep, state: AuthorityState | undefined): Promise<AuthorityState> {
    const now = this.#options.clock.now();
    if (state === undefined || step === 'create') return { signing: await this.#newAuthority(), previous: [] };
    const { signing, next, previous } = state;
    if (step === 'introduce') return { ...state, next: { authority: await this.#newAuthority(), introducedAt: now } };
    if (step === 'activate' && next !== undefined) {
      const old = { certificate: signing.certificate, trustedUntil: now + certificateTimes.server };
      return { signing: next.authority, previous: [old, ...previous] };
    }
    return { ...state, previous: previous.filter(({ trustedUntil }) => trustedUntil > now) };
  }

  #newAuthority(): Promise<Authority> {
    const now = this.#options.clock.now();
    const { authority, backdating } = certificateTimes;
    return this.#options.issuer.createAuthority({ notBefore: now - backdating, notAfter: now + authority });
  }

  async #renew(signing: Authority): Promise<ServerCertificate | undefined> {
    const now = this.#options.clock.now();
    if (this.#serving?.signedBy === signing.certificate && !isDue(this.#serving, now)) return undefined;
    const { backdating, server } = certificateTimes;
    const validity = { notBefore: now - backdating, notAfter: Math.min(now + server, signing.notAfter) };
    const issued = await this.#options.issuer.issueServer(signing, this.#options.names, validity);
    this.#serving = { ...validity, signedBy: signing.certificate };
    return issued;
  }
}

const pem = text({ max: 16_384, form: /^-----BEGIN [A-Z ]+-----[A-Za-z0-9+/=\s]+-----END [A-Z ]+-----\s*$/u });
const moment = integer(0, Number.MAX_SAFE_INTEGER);
const authority = object({ certificate: pem, key: pem, notBefore: moment, notAfter: moment });
const decodeState = object({
  signing: authority,
  next: optional(object({ authority, introducedAt: moment })),
  previous: list(object({ certificate: pem, trustedUntil: moment }), 16),
});

/** The state as text, for one key of a Secret. */
export function encodeAuthorityState(state: AuthorityState): string {
  return JSON.stringify(state);
}

/** Undefined for anything that is not a state: a new CA is made then, and proxies follow the bundle. */
export function decodeAuthorityState(json: string): AuthorityState | undefined {
  const decoded = decodeJson(decodeState, json);
  return decoded.kind === 'valid' ? decoded.value : undefined;
}
