/** A pod's program as everybody writes it: application default credentials of google-auth-library, nothing configured. */
import { GoogleAuth } from 'google-auth-library';

const [audience = ''] = process.argv.slice(2);
const auth = new GoogleAuth({ scopes: 'https://www.googleapis.com/auth/cloud-platform' });

async function tried(action: () => Promise<string | null | undefined>): Promise<object> {
  try {
    return { kind: 'had', value: (await action()) ?? '' };
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}

const accessToken = await tried(() => auth.getAccessToken());
const identityToken = await tried(async () => {
  const client = await new GoogleAuth().getIdTokenClient(audience);
  return client.idTokenProvider.fetchIdToken(audience);
});
process.stdout.write(JSON.stringify({ accessToken, identityToken }));
