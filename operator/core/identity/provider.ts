/** Whether a WorkloadIdentityProvider can be used at all, before anybody is asked. */
import type { Reason, WorkloadIdentityProvider } from '../../api/v1/index.ts';

export interface ProviderRules {
  /** Test flag of the controller: http endpoints are allowed. */
  readonly allowInsecureEndpoints: boolean;
}

export type Acceptance =
  { readonly kind: 'accepted' } | { readonly kind: 'rejected'; readonly reason: Reason; readonly message: string };

const accepted: Acceptance = { kind: 'accepted' };

/** Checks endpoints and CA bundle; the schema has checked everything else. */
export function acceptProvider(provider: WorkloadIdentityProvider, rules: ProviderRules): Acceptance {
  return insecureEndpoint(provider, rules) ?? unusableBundle(provider) ?? accepted;
}

function insecureEndpoint({ spec }: WorkloadIdentityProvider, rules: ProviderRules): Acceptance | undefined {
  if (rules.allowInsecureEndpoints) return undefined;
  for (const field of ['stsEndpoint', 'iamCredentialsEndpoint'] as const) {
    const endpoint = spec[field];
    if (endpoint === undefined || endpoint.startsWith('https://')) continue;
    const message = `spec.${field} is ${endpoint}; tokens travel over https only, so write https://.`;
    return { kind: 'rejected', reason: 'EndpointNotAllowed', message };
  }
  return undefined;
}

function unusableBundle({ spec }: WorkloadIdentityProvider): Acceptance | undefined {
  if (spec.caBundle === undefined || decodeBundle(spec.caBundle) !== undefined) return undefined;
  const message = 'spec.caBundle is not base64 of PEM certificates; encode the PEM file with `base64 -w0`.';
  return { kind: 'rejected', reason: 'InvalidCABundle', message };
}

/** The PEM text of a caBundle, or undefined if it is not base64 of at least one PEM certificate. */
export function decodeBundle(caBundle: string): string | undefined {
  const pem = decodeBase64(caBundle);
  if (pem === undefined) return undefined;
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.length > 0 && blocks.every(holdsDer) ? pem : undefined;
}

/** Every certificate is a DER sequence, whose first byte is 0x30. */
function holdsDer(block: string): boolean {
  const der = decodeBase64(block.replace(/-----[A-Z ]+-----/g, ''));
  return der?.charCodeAt(0) === 0x30;
}

function decodeBase64(text: string): string | undefined {
  try {
    return atob(text);
  } catch {
    return undefined;
  }
}
