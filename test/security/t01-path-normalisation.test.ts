/**
 * T01: spellings of a concealed path that one parser would take for it and another would not (CVE-2022-23551: a
 * backslash). Each is refused, not normalised.
 */
import { after, before, describe, it } from 'node:test';
import type { DenialCode } from '../../operator/core/request/denials.ts';
import { defaultInstance } from '../../operator/local/gce/instance.ts';
import { denied, served } from './assertions.ts';
import { harmless, kubeEnv, pods, Stage, token, v1 } from './harness.ts';
import { get } from './requests.ts';

const email = 'bound@test-project.iam.gserviceaccount.com';
const accounts = `${v1}/instance/service-accounts`;

const malformed = { status: 400, code: 'malformed-path' } as const;
const unknown = { status: 404, code: 'not-found' } as const;
const tooLong = { status: 414, code: 'target-too-long' } as const;
const concealed = { status: 403, code: 'concealed' } as const;
/** The text after a space is no HTTP version. */
const notHttp = { status: 400, code: 'http-version' } as const;

/** What the pod that sees all but kube-env gets for each spelling of it. */
const rows: readonly (readonly [
  what: string,
  target: string,
  { readonly status: number; readonly code: DenialCode },
])[] = [
  ['a parent segment', `${v1}/project/../instance/attributes/kube-env`, malformed],
  ['a parent segment up to another version', `${v1}/../v1beta1/instance/attributes/kube-env`, malformed],
  ['a parent segment above the root', `/../..${kubeEnv}`, malformed],
  ['a parent segment at the end', `${kubeEnv}/..`, malformed],
  ['a parent segment behind a slash at the end', `${kubeEnv}/x/../`, malformed],
  ['a dot segment', `${v1}/instance/./attributes/kube-env`, malformed],
  ['a dot segment at the start', `/.${kubeEnv}`, malformed],
  ['a dot segment at the end', `${kubeEnv}/.`, malformed],
  ['three dots', `${v1}/instance/.../attributes/kube-env`, malformed],
  ['two slashes', `${v1}/instance//attributes/kube-env`, malformed],
  ['two slashes at the start', `/${kubeEnv}`, malformed],
  ['two slashes at the end', `${kubeEnv}//`, malformed],
  ['three slashes', `${v1}///instance/attributes/kube-env`, malformed],
  ['an authority behind two slashes', `//metadata.google.internal${kubeEnv}`, malformed],
  ['a dot, encoded', `${v1}/project/%2e%2e/instance/attributes/kube-env`, malformed],
  ['a dot, half encoded', `${v1}/project/.%2e/instance/attributes/kube-env`, malformed],
  ['a dot, encoded in upper case', `${v1}/project/%2E%2E/instance/attributes/kube-env`, malformed],
  ['a slash, encoded', `${v1}/instance/attributes%2fkube-env`, malformed],
  ['a slash, encoded in upper case', `${v1}/instance%2Fattributes%2Fkube-env`, malformed],
  ['an encoded parent and slash', `${v1}/project%2f..%2finstance/attributes/kube-env`, malformed],
  ['a backslash', `${v1}/instance/attributes\\kube-env`, malformed],
  ['backslashes throughout', kubeEnv.replaceAll('/', '\\').replace('\\', '/'), malformed],
  ['a parent segment with backslashes', `${v1}/project\\..\\instance/attributes/kube-env`, malformed],
  ['a backslash, encoded', `${v1}/instance/attributes%5ckube-env`, malformed],
  ['a backslash, encoded in upper case', `${v1}/project/..%5C..%5Cv1/instance/attributes/kube-env`, malformed],
  ['a letter, encoded', `${v1}/instance/attributes/%6bube-env`, malformed],
  ['a hyphen, encoded', `${v1}/instance/attributes/kube%2denv`, malformed],
  ['a version, encoded', `/computeMetadata/v%31/instance/attributes/kube-env`, malformed],
  ['a letter, encoded twice', `${v1}/instance/attributes/%256bube-env`, malformed],
  ['a parent segment, encoded twice', `${v1}/project/%252e%252e/instance/attributes/kube-env`, malformed],
  ['a slash, encoded three times', `${v1}/instance/attributes%25252fkube-env`, malformed],
  ['a percent sign alone', `${kubeEnv}%`, malformed],
  ['half an escape', `${kubeEnv}%2`, malformed],
  ['an escape of no hex digits', `${v1}/instance/attributes/%zzkube-env`, malformed],
  ['an escape of a code point', `${v1}/instance/attributes/%u006bube-env`, malformed],
  ['an overlong dot', `${v1}/project/%c0%ae%c0%ae/instance/attributes/kube-env`, malformed],
  ['an overlong slash', `${v1}/instance/attributes%c0%afkube-env`, malformed],
  ['an overlong slash of three bytes', `${v1}/instance/attributes%e0%80%afkube-env`, malformed],
  ['an overlong slash, raw', `${v1}/instance/attributes\u00c0\u00afkube-env`, malformed],
  ['a NUL, encoded', `${kubeEnv}%00`, malformed],
  ['a NUL, encoded, with another name behind', `${v1}/instance/attributes/kube-env%00cluster-name`, malformed],
  ['a NUL', `${kubeEnv}\u0000`, malformed],
  ['a line break, encoded', `${kubeEnv}%0d%0aX:%20y`, malformed],
  ['a space, encoded', `${kubeEnv}%20`, malformed],
  ['a space', `${v1}/instance/attributes/kube-env x`, notHttp],
  ['two spaces behind it, which end the target', `${kubeEnv} `, concealed],
  ['a tab, encoded', `${kubeEnv}%09`, malformed],
  ['a tab', `${v1}/instance/attributes/\tkube-env`, malformed],
  ['a form feed', `${kubeEnv}\f`, malformed],
  ['an escape character', `${v1}/instance/attributes/\u001b[2Jkube-env`, malformed],
  ['a DEL', `${kubeEnv}\u007f`, malformed],
  ['a parameter', `${kubeEnv};x=y`, malformed],
  ['a parameter inside', `${v1}/instance;x=y/attributes/kube-env`, malformed],
  ['a parent segment with a parameter', `${v1}/project/..;/instance/attributes/kube-env`, malformed],
  ['a parameter, encoded', `${kubeEnv}%3bx`, malformed],
  ['a fragment', `${kubeEnv}#`, malformed],
  ['a fragment that hides a parent segment', `${harmless}#/../../instance/attributes/kube-env`, malformed],
  ['a question mark, encoded', `${kubeEnv}%3frecursive=true`, malformed],
  ['a dot at the end', `${kubeEnv}.`, malformed],
  ['dots at the end', `${kubeEnv}...`, malformed],
  ['a dot at the end of a directory', `${v1}/instance/attributes./kube-env`, malformed],
  ['a full-width letter', `${v1}/instance/attributes/\u00ef\u00bd\u008bube-env`, malformed],
  ['a full-width letter, encoded', `${v1}/instance/attributes/%ef%bd%8bube-env`, malformed],
  ['a full-width slash, encoded', `${v1}/instance/attributes%ef%bc%8fkube-env`, malformed],
  ['a full-width dot, encoded', `${v1}/project/%ef%bc%8e%ef%bc%8e/instance/attributes/kube-env`, malformed],
  ['a Kelvin sign for the k', `${v1}/instance/attributes/\u00e2\u0084\u00aaube-env`, malformed],
  ['a soft hyphen', `${v1}/instance/attributes/kube\u00c2\u00ad-env`, malformed],
  ['a quote', `${v1}/instance/attributes/"kube-env"`, malformed],
  ['braces', `${v1}/instance/attributes/{kube-env}`, malformed],
  ['a star', `${v1}/instance/attributes/*`, malformed],
  ['two stars', `${v1}/instance/**`, malformed],
  ['another case of the key', `${v1}/instance/attributes/Kube-Env`, concealed],
  ['upper case of the key', `${v1}/instance/attributes/KUBE-ENV`, concealed],
  ['something below the key', `${kubeEnv}/x`, concealed],
  ['the key as a directory', `${kubeEnv}/`, concealed],
  ['another case of the directory', `${v1}/instance/Attributes/kube-env`, unknown],
  ['another case of the tree', `${v1}/INSTANCE/attributes/kube-env`, unknown],
  ['another case of the version', `/computeMetadata/V1/instance/attributes/kube-env`, unknown],
  ['another case of the root', `/computemetadata/v1/instance/attributes/kube-env`, unknown],
  ['a path of 1 KiB', `${kubeEnv}${'/x'.repeat(7)}${'x'.repeat(1_024)}`, tooLong],
  ['a path of 5 KiB', `${v1}/${'a'.repeat(5_000)}`, tooLong],
  ['a query of 5 KiB', `${kubeEnv}?${'a'.repeat(5_000)}`, tooLong],
  ['a path of 9 KiB', `${v1}/${'a'.repeat(9_000)}`, { status: 431, code: 'headers-too-large' }],
  ['many segments', `${v1}${'/a'.repeat(20)}`, malformed],
  ['many parent segments', `${v1}${'/..'.repeat(50)}${kubeEnv}`, malformed],
  ['a slash, encoded, for an account', `${accounts}%2fdefault/identity?audience=a`, malformed],
  ['an encoded slash behind an account', `${accounts}/default%2fidentity?audience=a`, malformed],
  ['an encoded slash in an e-mail', `${accounts}/${email}%2f..%2fdefault/identity?audience=a`, malformed],
  ['an e-mail with its at sign encoded twice', `${accounts}/bound%2540test-project/token`, malformed],
  ['an e-mail with a parent segment', `${accounts}/${email}/../default/identity?audience=a`, malformed],
  ['an e-mail with a dot, encoded', `${accounts}/bound@test-project%2eiam.gserviceaccount.com/token`, malformed],
  ['an e-mail with a NUL', `${accounts}/default%00${email}/identity?audience=a`, malformed],
  ['an account with a parameter', `${accounts}/default;x/identity?audience=a`, malformed],
  ['a dot behind an account', `${accounts}/default./identity?audience=a`, malformed],
  ['a dot behind a leaf', `${accounts}/default/identity.?audience=a`, malformed],
  ['another case of a leaf', `${accounts}/default/Identity?audience=a`, concealed],
  ['another case of an account', `${accounts}/Default/identity?audience=a`, concealed],
];

describe('T01 path normalisation', () => {
  let gce: Stage;
  let emulated: Stage;
  before(async () => {
    gce = await Stage.start();
    emulated = await Stage.start({ settings: { platform: 'None' } });
  });
  after(async () => {
    await gce.stop();
    await emulated.stop();
  });

  for (const [what, target, expected] of rows) {
    it(`${what}: ${expected.code}`, async () => {
      denied(await gce.send(get(target), { from: pods.secure }), expected);
      // Where a value could not be had anyway, a spelling is still no other way to it.
      if (expected !== concealed) denied(await emulated.send(get(target), { from: pods.bound }), expected);
    });
  }

  it('is not applied to what may stand in a query', async () => {
    for (const query of ['x=/../', 'x=%2e%2e%2f', 'x=//', 'x=%00', 'x=%zz']) {
      const seen = await gce.send(get(`${harmless}?${query}`));
      served(seen, { body: 'my-project', upstream: [`${harmless}?alt=json`] });
    }
    for (const query of ['x=\\', 'x=#', 'x=\u00e9']) {
      denied(await gce.send(get(`${harmless}?${query}`)), malformed);
    }
  });
});

describe('T01 path normalisation: honest spellings', () => {
  let gce: Stage;
  before(async () => (gce = await Stage.start()));
  after(() => gce.stop());

  it('of a value reach the upstream exactly as they are', async () => {
    served(await gce.send(get(harmless), { from: pods.secure }), {
      body: 'my-project',
      upstream: [`${harmless}?alt=json`],
    });
    const other = `${v1}/instance/attributes/user-data`;
    served(await gce.send(get(other), { from: pods.secure }), {
      body: defaultInstance.attributes['user-data'] ?? '',
      upstream: [`${other}?alt=json`],
    });
    served(await gce.send(get(kubeEnv), { from: pods.privileged }), {
      body: defaultInstance.attributes['kube-env'] ?? '',
      upstream: [`${kubeEnv}?alt=json`],
    });
  });

  it('of an account have an at sign, encoded or not', async () => {
    for (const name of [email, email.replace('@', '%40')]) {
      served(await gce.send(get(`${accounts}/${name}/email`)), { body: email });
      served(await gce.send(get(`${accounts}/${name}/token`)), { body: /pod-token-canary-access/ });
    }
    served(await gce.send(get(token), { from: pods.secure }), { body: /access_token/, upstream: [token] });
    const encoded = `${accounts}/${defaultInstance.email.replace('@', '%40')}/email`;
    served(await gce.send(get(encoded), { from: pods.secure }), {
      body: defaultInstance.email,
      upstream: [`${accounts}/${defaultInstance.email}/email?alt=json`],
    });
  });
});
