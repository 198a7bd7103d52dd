/** google-auth-library, gcp-metadata and @google-cloud/storage as programs use them: nothing is configured. */
import { Storage } from '@google-cloud/storage';
import * as gcpMetadata from 'gcp-metadata';
import { GoogleAuth } from 'google-auth-library';
import type { ClientRequest } from '../contract.ts';
import { serve } from './serve.ts';

const cloudPlatform = 'https://www.googleapis.com/auth/cloud-platform';
const held = new Map<string, GoogleAuth>();

/** One object of the library per set of scopes, kept until a request asks for a fresh one. */
function authOf({ fresh }: ClientRequest, scopes: readonly string[] = [cloudPlatform]): GoogleAuth {
  const key = scopes.join(' ');
  const known = fresh === true ? undefined : held.get(key);
  const auth = known ?? new GoogleAuth({ scopes: [...scopes] });
  held.set(key, auth);
  return auth;
}

await serve({
  'on-gce': async () => {
    gcpMetadata.resetIsAvailableCache();
    return String(await gcpMetadata.isAvailable());
  },
  'project-id': (request) => authOf(request).getProjectId(),
  zone: async () => String(await gcpMetadata.instance('zone')),
  email: async () => String(await gcpMetadata.instance('service-accounts/default/email')),
  'access-token': async (request) => (await authOf(request, request.scopes).getAccessToken()) ?? '',
  'identity-token': async (request) => {
    const client = await authOf(request).getIdTokenClient(request.audience);
    return client.idTokenProvider.fetchIdToken(request.audience);
  },
  'universe-domain': (request) => authOf(request).getUniverseDomain(),
  'list-buckets': async ({ endpoint }) => {
    const storage = new Storage({ apiEndpoint: endpoint, useAuthWithCustomEndpoint: true });
    const [buckets] = await storage.getBuckets();
    return buckets.map(({ name }) => name).join(',');
  },
});
