import { MetaveilError } from '../../core/errors.ts';
import type { IssuerDiscovery } from '../../controllers/ports.ts';
import type { KubeClient } from './client.ts';
import { isRecord, recordsAt, textAt, type RawObject } from './project/raw.ts';

const configurationPath = '/.well-known/openid-configuration';
/** Where the API server serves its keys; jwks_uri may name an address that only the outside world can reach. */
const keysPath = '/openid/v1/jwks';
const maxBytes = 256 << 10;

/** What the cluster publishes for those who check its ServiceAccount tokens. */
export class KubeIssuerDiscovery implements IssuerDiscovery {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async discover(signal: AbortSignal): Promise<{ readonly issuer: string; readonly signingKeyIds: readonly string[] }> {
    const [configuration, keys] = await Promise.all([
      this.#read(configurationPath, signal),
      this.#read(keysPath, signal),
    ]);
    const issuer = textAt(configuration, 'issuer');
    if (issuer === '') throw new MetaveilError('kubernetes-refused', `GET ${configurationPath}: no issuer`);
    return { issuer, signingKeyIds: signingKeyIds(keys) };
  }

  async #read(path: string, signal: AbortSignal): Promise<RawObject> {
    const reply = await this.#client.request({ method: 'GET', path, signal, maxBytes });
    if (isRecord(reply)) return reply;
    throw new MetaveilError('kubernetes-refused', `GET ${path}: the reply is not an object`);
  }
}

function signingKeyIds(keys: RawObject): readonly string[] {
  const ids = recordsAt(keys, 'keys').map((key) => textAt(key, 'kid'));
  return [...new Set(ids.filter((id) => id !== ''))].sort();
}
