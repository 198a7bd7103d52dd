import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { federatedEmailOf, principalOf, subjectBytes } from '../../../../operator/core/identity/principal.ts';
import { gkeProvider, provider } from '../../../builders/objects.ts';

describe('principalOf', () => {
  it('names the subject in the pool', () => {
    assert.equal(
      principalOf(provider(), 'web', 'api'),
      'principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/prod/subject/system:serviceaccount:web:api',
    );
  });

  it('has the form of GKE where the project number is known', () => {
    const numbered = gkeProvider('default', { gkeCluster: 'projects/42/locations/europe-west4/clusters/prod' });
    assert.equal(
      principalOf(numbered, 'web', 'api'),
      'principal://iam.googleapis.com/projects/42/locations/global/workloadIdentityPools/my-project.svc.id.goog/subject/ns/web/sa/api',
    );
  });

  it('falls back on GKE to the member that needs no project number', () => {
    assert.equal(principalOf(gkeProvider(), 'web', 'api'), 'serviceAccount:my-project.svc.id.goog[web/api]');
  });

  it('is not known for a provider name of another form', () => {
    assert.equal(principalOf(provider({ spec: { provider: 'projects/x/pool' } }), 'web', 'api'), undefined);
  });
});

describe('federatedEmailOf', () => {
  it('is the name of the pool in a form like that of GKE', () => {
    assert.equal(federatedEmailOf(provider()), 'prod.global.123456789012.workload.id.goog');
    assert.equal(federatedEmailOf(gkeProvider()), 'my-project.svc.id.goog');
  });
});

describe('subjectBytes', () => {
  it('counts bytes, not characters', () => {
    assert.equal(subjectBytes('web', 'api'), 'system:serviceaccount:web:api'.length);
    assert.equal(subjectBytes('web', 'ä'), subjectBytes('web', 'ae'));
  });
});
