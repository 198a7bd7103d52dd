import { gaxios, IdentityPoolClient } from 'google-auth-library';
import { StsCredentials } from 'google-auth-library/build/src/auth/stscredentials.js';

/** The library's Gaxios, which its clients take as `transporter`. */
export type Gaxios = InstanceType<typeof gaxios.Gaxios>;
type FetchImplementation = NonNullable<ConstructorParameters<typeof gaxios.Gaxios>[0]>['fetchImplementation'];

export interface FederatedClientOptions {
  readonly audience: string;
  readonly tokenUrl: string;
  readonly universeDomain: string;
  readonly subjectToken: string;
  readonly scopes: readonly string[];
  readonly transporter: Gaxios;
}

/** A transporter that leaves deadlines, retries, proxies and errors to `fetchImplementation`. */
export function gaxiosOver(fetchImplementation: NonNullable<FetchImplementation>): Gaxios {
  return new gaxios.Gaxios({
    fetchImplementation,
    retryConfig: { retry: 0, noResponseRetries: 0, shouldRetry: () => false },
    // Or the library would also make an agent of its own for HTTPS_PROXY.
    noProxy: [/^/],
  });
}

/** Exchanges one Kubernetes token, once; made for each exchange and thrown away. */
export class FederatedClient extends IdentityPoolClient {
  constructor(options: FederatedClientOptions) {
    super({
      audience: options.audience,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: options.tokenUrl,
      universe_domain: options.universeDomain,
      subject_token_supplier: { getSubjectToken: () => Promise.resolve(options.subjectToken) },
      scopes: [...options.scopes],
      transporter: options.transporter,
      // The default of five minutes would exchange a second time for a token that is short-lived on purpose.
      eagerRefreshThresholdMillis: 1,
      // The interceptors this turns off can log requests and replies.
      useAuthRequestParameters: false,
    });
    // The base class gives the exchange a transporter of its own, without deadline and custom CA.
    this.stsCredential = new StsCredentials({
      tokenExchangeEndpoint: options.tokenUrl,
      transporter: options.transporter,
    });
  }
}
