/** What an application in a pod does: an unmodified google-auth-library that finds its metadata server by itself. */
import { GoogleAuth } from 'google-auth-library';

/** What the client found; never the token itself. */
export type PodClientReport =
  | { readonly kind: 'token'; readonly characters: number; readonly expiresInSeconds: number }
  | { readonly kind: 'refused'; readonly message: string };

/** Asks for the default credentials of the environment, as a Google client library does at start. */
export async function askForToken(now: () => number): Promise<PodClientReport> {
  try {
    const client = await new GoogleAuth().getClient();
    const { token } = await client.getAccessToken();
    if (!token) return { kind: 'refused', message: 'the metadata server gave no token' };
    const expiresInSeconds = Math.round(((client.credentials.expiry_date ?? now()) - now()) / 1000);
    return { kind: 'token', characters: token.length, expiresInSeconds };
  } catch (error) {
    return { kind: 'refused', message: error instanceof Error ? error.message : 'unknown failure' };
  }
}
