import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import type { WorkloadIdentityBinding, WorkloadIdentityProvider } from '../../../operator/api/v1/index.ts';
import { remedyOf, type RemedyContext } from '../../../operator/core/identity/remedy.ts';
import { issuer, principal, providerName, reportsAccount } from './cluster-issuer.ts';

function context(googleServiceAccount: string | undefined = reportsAccount, audience?: string): RemedyContext {
  const binding = {
    metadata: { name: 'reports', namespace: 'shop' },
    spec: { serviceAccountName: 'reports', access: 'Impersonate', googleServiceAccount },
  } as unknown as WorkloadIdentityBinding;
  const provider = {
    metadata: { name: 'default' },
    spec: {
      type: 'WorkloadIdentityFederation',
      provider: providerName,
      ...(audience === undefined ? {} : { audience }),
    },
    status: { issuer },
  } as unknown as WorkloadIdentityProvider;
  return { binding, provider, principal };
}

const denied = { code: 'google-permission-denied', message: '' } as const;
const missing = { code: 'google-not-found', message: '' } as const;
const rejected = (message: string) => ({ code: 'google-rejected', message }) as const;

describe('the command that cures', () => {
  it('a missing grant adds exactly the one role', () => {
    assert.equal(
      remedyOf(denied, context()),
      `gcloud iam service-accounts add-iam-policy-binding ${reportsAccount} --project=my-project --role=roles/iam.workloadIdentityUser --member=${principal}`,
    );
  });

  it('a missing account creates it', () => {
    assert.equal(remedyOf(missing, context()), 'gcloud iam service-accounts create reports --project=my-project');
  });

  const projects: readonly (readonly [string, string | undefined])[] = [
    ['a@shop.example.com.iam.gserviceaccount.com', 'example.com:shop'],
    ['123456-compute@developer.gserviceaccount.com', '123456'],
    ['my-project@appspot.gserviceaccount.com', 'my-project'],
    ['service-1@gcp-sa-pubsub.iam.gserviceaccount.com', undefined],
    ['1@cloudservices.gserviceaccount.com', undefined],
  ];
  for (const [account, project] of projects) {
    it(`finds ${project ?? 'no project'} in ${account}`, () => {
      const flag = / --project=(?<project>\S+)/.exec(remedyOf(denied, context(account)) ?? '')?.groups?.['project'];
      assert.equal(flag, project);
    });
  }

  const update = `gcloud iam workload-identity-pools providers update-oidc ${providerName}`;
  const sentences: readonly (readonly [string, string])[] = [
    [
      'invalid_grant: The audience in ID Token [x] does not match the expected audience.',
      `${update} --allowed-audiences=//iam.googleapis.com/${providerName}`,
    ],
    ['invalid_grant: The issuer in ID Token x does not match the expected one', `${update} --issuer-uri=${issuer}`],
    [
      "invalid_grant: Error connecting to the given credential's issuer.",
      `kubectl get --raw /openid/v1/jwks > jwks.json && ${update} --jwk-json-path=jwks.json`,
    ],
    [
      'invalid_target: The target service indicated by the "audience" parameters is invalid.',
      `gcloud iam workload-identity-pools providers describe ${providerName}`,
    ],
    [
      'PERMISSION_DENIED: IAM Service Account Credentials API has not been used in project 1 before or it is disabled.',
      'gcloud services enable iamcredentials.googleapis.com sts.googleapis.com --project=my-project',
    ],
    [
      'INVALID_ARGUMENT: … constraints/iam.allowServiceAccountCredentialLifetimeExtension …',
      `kubectl patch workloadidentitybinding reports --namespace=shop --type=merge '--patch={"spec":{"tokenLifetimeSeconds":3600}}'`,
    ],
  ];
  for (const [sentence, command] of sentences) {
    it(`«${sentence.slice(0, 60)}…»`, () => {
      assert.equal(remedyOf(rejected(sentence), context()), command);
    });
  }

  it('does not exist where none is known to help', () => {
    assert.equal(remedyOf({ code: 'google-unavailable', message: 'x' }, context()), undefined);
    assert.equal(remedyOf(rejected('something new'), context()), undefined);
    const direct = { ...context(), binding: { spec: { access: 'Direct' }, metadata: {} } as WorkloadIdentityBinding };
    assert.equal(remedyOf(denied, direct), undefined);
    assert.equal(remedyOf(missing, direct), undefined);
  });

  it('is one word per value for a shell, whatever the value holds', () => {
    const hostile = `aud'; touch pwned; $(id) \`id\` "&& | > *`;
    const command = remedyOf(rejected('The audience in ID Token'), context(reportsAccount, hostile)) ?? '';
    const words = execFileSync('/bin/sh', ['-c', `printf '%s\\n' ${command}`], { encoding: 'utf8' }).split('\n');
    assert.deepEqual(words.slice(0, -1), [...update.split(' '), `--allowed-audiences=${hostile}`]);
  });

  it('does not exist for values that cannot be pasted or would be read as options', () => {
    for (const account of ['a\nb@p.iam.gserviceaccount.com', '-h', '\u202e@p.iam.gserviceaccount.com', '']) {
      assert.equal(remedyOf(denied, context(account)), undefined);
    }
  });
});
