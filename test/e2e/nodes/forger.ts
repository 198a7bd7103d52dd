/** Tokens that look like a ServiceAccount's: the claims somebody wants, signed with the cluster's key or another. */
import { generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJwt, decodeProtectedHeader, importPKCS8, SignJWT, type JWTPayload } from 'jose';
import type { ClusterAccess } from '../../cluster/access.ts';

export function claimsOf(token: string): JWTPayload {
  return decodeJwt(token);
}

/** `original` gives the header: the key it names is the cluster's, whoever signs. */
export async function resigned(
  signer: ClusterAccess | 'nobody',
  original: string,
  claims: JWTPayload,
): Promise<string> {
  const { alg = 'RS256', kid = '' } = decodeProtectedHeader(original);
  const key = await importPKCS8(await signingKey(signer), alg);
  return new SignJWT(claims).setProtectedHeader({ alg, kid }).sign(key);
}

async function signingKey(signer: ClusterAccess | 'nobody'): Promise<string> {
  if (signer !== 'nobody') return readFile(join(signer.folder, 'service-account.key'), 'utf8');
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
}
