/** Where a provider's tokens are exchanged, with every default filled in. */
import type { WorkloadIdentityProvider } from '../../api/v1/index.ts';
import { decodeBundle } from '../../core/identity/provider.ts';
import type { FederationSettings } from '../../nodeapi/server/ports.ts';

/** Undefined with type GKE: there Metaveil exchanges nothing. The provider has to be accepted. */
export function federationSettings({ spec }: WorkloadIdentityProvider): FederationSettings | undefined {
  if (spec.type === 'GKE' || spec.provider === undefined) return undefined;
  const { stsEndpoint, iamCredentialsEndpoint } = spec;
  const caBundle = spec.caBundle === undefined ? undefined : decodeBundle(spec.caBundle);
  const name = `//iam.googleapis.com/${spec.provider}`;
  return {
    audience: spec.audience ?? name,
    ...(spec.audience !== undefined && { exchangeAudience: name }),
    universeDomain: spec.universeDomain,
    ...(stsEndpoint !== undefined && { stsEndpoint }),
    ...(iamCredentialsEndpoint !== undefined && { iamCredentialsEndpoint }),
    ...(caBundle !== undefined && { caBundle }),
  };
}
