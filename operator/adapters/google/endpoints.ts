import { MetaveilError } from '../../core/errors.ts';
import type { FederationSettings } from '../../nodeapi/server/ports.ts';

export type GoogleService = 'sts' | 'iamcredentials';

/** What errors call the two services. */
export const serviceNames: Readonly<Record<GoogleService, string>> = {
  sts: "Google's STS",
  iamcredentials: 'IAM Credentials',
};

/**
 * Base URL of a service without a trailing slash: the one that was set, or the universe's own.
 * Throws invalid-configuration for anything but https (http only when `allowInsecure`), and for credentials in a URL.
 */
export function endpointOf(service: GoogleService, settings: FederationSettings, allowInsecure: boolean): string {
  const configured = service === 'sts' ? settings.stsEndpoint : settings.iamCredentialsEndpoint;
  const text = configured ?? `https://${service}.${settings.universeDomain}`;
  const url = URL.parse(text);
  if (url === null || !(url.protocol === 'https:' || (allowInsecure && url.protocol === 'http:')) || hasExtras(url)) {
    throw new MetaveilError('invalid-configuration', `The endpoint of ${serviceNames[service]} must be an https URL.`);
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

function hasExtras(url: URL): boolean {
  return url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '';
}
