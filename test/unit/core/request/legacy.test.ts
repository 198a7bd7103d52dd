import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate } from '../../../../operator/core/policy/evaluate.ts';
import { denyLegacy } from '../../../../operator/core/request/denials.ts';
import type { CompiledPolicy } from '../../../../operator/core/snapshot/types.ts';
import { parseRequest } from '../../../../operator/core/request/parse.ts';
import { cmdp, subject, wordFor } from '../policy/subjects.ts';
import { accepted, get, verdict } from './raw.ts';

describe('legacy paths in every spelling, with the v1 path that replaces them', () => {
  const rows: readonly (readonly [target: string, v1Path: string])[] = [
    ['/0.1', 'instance'],
    ['/0.1/', 'instance'],
    ['/0.1/meta-data', 'instance'],
    ['/0.1/meta-data/', 'instance'],
    ['/0.1/META-DATA/', 'instance'],
    ['/0.1/meta-data/instance-id', 'instance/id'],
    ['/0.1/meta-data/hostname', 'instance/hostname'],
    ['/0.1/meta-data/project-id', 'project/project-id'],
    ['/0.1/meta-data/numeric-project-id', 'project/numeric-project-id'],
    ['/0.1/meta-data/attributes/kube-env', 'instance/attributes/kube-env'],
    ['/0.1/meta-data/Attributes/kube-env', 'instance/attributes/kube-env'],
    ['/0.1/meta-data/service-accounts/default/acquire', 'instance/service-accounts/default/token'],
    ['/0.1/meta-data/service-accounts/default/ACQUIRE', 'instance/service-accounts/default/token'],
    ['/0.1/meta-data/auth-token', 'instance/service-accounts/default/token'],
    ['/0.1/instance/attributes/kube-env', 'instance/attributes/kube-env'],
    ['/computeMetadata/v1beta1', ''],
    ['/computeMetadata/v1beta1/', ''],
    ['/computeMetadata/v1beta1/instance/id', 'instance/id'],
    ['/computeMetadata/v1beta1/Instance/Attributes/kube-env', 'instance/attributes/kube-env'],
    ['/computeMetadata/V1BETA1/instance/', 'instance'],
    ['/computemetadata/v1beta1/instance/', 'instance'],
    ['/COMPUTEMETADATA/V1beta1/instance/', 'instance'],
    [
      '/computeMetadata/v1beta1/instance/service-accounts/default/token?scopes=a',
      'instance/service-accounts/default/token',
    ],
  ];
  for (const [target, v1Path] of rows) {
    it(`${target} → ${v1Path}`, () => {
      const request = accepted(get(target));
      assert.equal(request.version, 'legacy');
      assert.equal(request.path.join('/'), v1Path);
    });
  }

  it('each is refused where a policy or the profile denies them, and decided like its v1 path where one allows them', () => {
    const conceal = ['instance/attributes/kube-env', 'instance/service-accounts/*/token'];
    const open = { profile: 'Privileged', conceal } as const;
    for (const [target] of rows) {
      const { path } = accepted(get(target));
      const legacy = (...policies: readonly CompiledPolicy[]) => evaluate(subject(policies), path, 'legacy');
      const denied = [legacy(), legacy(cmdp('a', { ...open, legacyEndpoints: 'Deny' }))];
      for (const decision of denied) assert.equal(wordFor(decision), 'concealed-by-legacy', target);
      const allowing = cmdp('a', { ...open, legacyEndpoints: 'Allow' });
      assert.equal(wordFor(legacy(allowing)), wordFor(evaluate(subject([allowing]), path)), target);
      const both = legacy(allowing, cmdp('b', { legacyEndpoints: 'Deny' }));
      assert.equal(wordFor(both), 'concealed-by-legacy', target);
    }
  });

  it('is recognised with or without Metadata-Flavor, so that its own refusal is given', () => {
    assert.equal(verdict(parseRequest(get('/0.1/meta-data/', ['Host', 'metadata']))), 'accepted');
    assert.equal(verdict(parseRequest(get('/computeMetadata/v1beta1/', ['Host', 'metadata']))), 'accepted');
  });

  it('its refusal has both documented sentences', () => {
    const denial = denyLegacy('/0.1/meta-data/instance-id');
    assert.equal(denial.status, 403);
    assert.deepEqual(denial.body.split('\n'), [
      'Legacy metadata endpoint accessed: /0.1/meta-data/instance-id',
      'Legacy metadata endpoints are disabled. Please use the /v1/ endpoint.',
    ]);
  });
});
