import type { IAMCredentialsClient } from '@google-cloud/iam-credentials';
import type { FederatedClient } from './federated-client.ts';

export interface IamEndpoint {
  /** Base URL without a trailing slash; its path, if any, is put before the API's own. */
  readonly baseUrl: string;
  readonly universeDomain: string;
}

type ClientOptions = NonNullable<ConstructorParameters<typeof IAMCredentialsClient>[0]>;

/** Our transport repeats what may be repeated; the library would go on for ten minutes. */
export const withoutRetry = { retry: null } as const;

/**
 * A client that authenticates with one federated identity. The library is loaded on first use: it brings gRPC along
 * (some 30 MB) although only its REST side is used. Making a client costs a quarter of a millisecond.
 */
export async function iamCredentialsClient(
  endpoint: IamEndpoint,
  authClient: FederatedClient,
): Promise<IAMCredentialsClient> {
  const library = await import('@google-cloud/iam-credentials');
  const url = new URL(endpoint.baseUrl);
  const options: ClientOptions = {
    fallback: true,
    apiEndpoint: url.hostname,
    port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
    protocol: url.protocol.slice(0, -1),
    universeDomain: endpoint.universeDomain,
    // The library nests an older google-auth-library, whose client type is nominally another one.
    authClient: authClient as unknown as NonNullable<ClientOptions['authClient']>,
  };
  return new library.IAMCredentialsClient(options);
}

/** Resource name: `-` stands for the project, which Google finds by the e-mail. */
export function serviceAccountName(email: string): string {
  return `projects/-/serviceAccounts/${email}`;
}
