import { createLocalJWKSet, type JSONWebKeySet } from 'jose';
import { checkMapping, defaultMapping, type AttributeMapping } from './attributes.ts';

/** A workload identity pool provider of type OIDC. */
export interface ProviderSpec {
  /** `projects/N/locations/global/workloadIdentityPools/P/providers/X`. */
  readonly name: string;
  /** Must equal the token's `iss`. */
  readonly issuer: string;
  /** Absent: the provider's own name with `//iam.googleapis.com/` or `https://iam.googleapis.com/` in front. */
  readonly allowedAudiences?: readonly string[];
  /** Default: `google.subject` is the token's `sub`. */
  readonly attributeMapping?: AttributeMapping;
}

export interface Provider {
  /** `projects/N/locations/global/workloadIdentityPools/P`. */
  readonly pool: string;
  readonly issuer: string;
  readonly allowedAudiences: readonly string[];
  readonly attributeMapping: AttributeMapping;
}

export type KeySet = ReturnType<typeof createLocalJWKSet>;

const providerName =
  /^(?<pool>projects\/[0-9]+\/locations\/global\/workloadIdentityPools\/[a-z0-9-]{4,32})\/providers\/[a-z0-9-]{4,32}$/;
const audiencePrefix = '//iam.googleapis.com/';

/** Which providers exist, and the keys of the issuers they trust. */
export class WorkloadIdentityPools {
  readonly #providers = new Map<string, Provider>();
  readonly #issuers = new Map<string, KeySet>();

  /** Replaces the provider of that name. Throws on a name or a mapping that Google would not take. */
  addProvider(spec: ProviderSpec): void {
    const pool = providerName.exec(spec.name)?.groups?.['pool'];
    if (pool === undefined) throw new Error(`'${spec.name}' is not the name of a workload identity pool provider.`);
    const attributeMapping = spec.attributeMapping ?? defaultMapping;
    checkMapping(attributeMapping);
    const own = [`${audiencePrefix}${spec.name}`, `https:${audiencePrefix}${spec.name}`];
    const allowedAudiences = spec.allowedAudiences ?? own;
    this.#providers.set(spec.name, { pool, issuer: spec.issuer, allowedAudiences, attributeMapping });
  }

  removeProvider(name: string): void {
    this.#providers.delete(name);
  }

  /** Replaces the issuer's keys, as uploading a JWKS does. */
  trustIssuer(issuer: string, keys: JSONWebKeySet): void {
    this.#issuers.set(issuer, createLocalJWKSet(keys));
  }

  keysOf(issuer: string): KeySet | undefined {
    return this.#issuers.get(issuer);
  }

  /** By the exchange's `audience`: the provider, `unknown`, or `malformed` when it cannot name one. */
  find(audience: string): Provider | 'unknown' | 'malformed' {
    const name = audience.startsWith(audiencePrefix) ? audience.slice(audiencePrefix.length) : '';
    if (!providerName.test(name)) return 'malformed';
    return this.#providers.get(name) ?? 'unknown';
  }
}
