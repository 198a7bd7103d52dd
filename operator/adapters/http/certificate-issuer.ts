// First of all: @peculiar/x509 refuses to load without it.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Authority, CertificateIssuer, ServerCertificate, Validity } from '../../nodeapi/server/certificates.ts';

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };

/** ECDSA P-256 keys and certificates by @peculiar/x509. */
export class X509CertificateIssuer implements CertificateIssuer {
  async createAuthority({ notBefore, notAfter }: Validity): Promise<Authority> {
    const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.createSelfSigned({
      // A name of its own per authority: two that are trusted at once must not be taken for one another.
      name: `CN=metaveil-node-api-ca-${String(notBefore)}`,
      keys,
      signingAlgorithm,
      notBefore: new Date(notBefore),
      notAfter: new Date(notAfter),
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return { certificate: certificate.toString('pem'), key: await exportKey(keys.privateKey), notBefore, notAfter };
  }

  async issueServer(authority: Authority, names: readonly string[], validity: Validity): Promise<ServerCertificate> {
    const issuer = new X509Certificate(authority.certificate);
    const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.create({
      subject: 'CN=metaveil-controller',
      issuer: issuer.subject,
      publicKey: keys.publicKey,
      signingKey: await importKey(authority.key),
      signingAlgorithm,
      notBefore: new Date(validity.notBefore),
      notAfter: new Date(validity.notAfter),
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
      ],
    });
    return { certificate: certificate.toString('pem'), key: await exportKey(keys.privateKey) };
  }
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(pem), keyAlgorithm, false, ['sign']);
}
