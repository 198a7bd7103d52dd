import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { describe, it } from 'node:test';
import { KubeServiceAccountTokens } from '../../../../operator/adapters/kube/service-account-tokens.ts';
import { KubeTokenReviewer } from '../../../../operator/adapters/kube/token-reviewer.ts';
import type { PodUid, ServiceAccountUid } from '../../../../operator/core/brand.ts';
import { errorCodeOf } from '../../../../operator/core/errors.ts';
import { ScriptedApi } from './scripted-api.ts';

const unending = new AbortController().signal;
const user = { username: 'system:serviceaccount:ns:sa', uid: 'u', extra: { k: ['v'], odd: 7 } };

describe('A token review', () => {
  for (const [what, status, kind] of [
    ['authenticated for the audience', { authenticated: true, audiences: ['other', 'aud'], user }, 'authenticated'],
    ['not authenticated', { authenticated: false, audiences: ['aud'], user }, 'rejected'],
    ['authenticated as the word "true"', { authenticated: 'true', audiences: ['aud'], user }, 'rejected'],
    ['for another audience', { authenticated: true, audiences: ['audience'], user }, 'rejected'],
    ['of a server that checks no audiences', { authenticated: true, user }, 'rejected'],
    ['with a text for audiences', { authenticated: true, audiences: 'aud', user }, 'rejected'],
    ['of nobody', { authenticated: true, audiences: ['aud'] }, 'rejected'],
  ] as const) {
    it(`${what} is ${kind}`, async (t) => {
      const api = await ScriptedApi.start(t);
      const review = new KubeTokenReviewer(api.client()).review('canary', 'aud', unending);
      const call = await api.next();
      assert.equal(call.path, '/apis/authentication.k8s.io/v1/tokenreviews');
      assert.deepEqual((call.body as { spec: unknown }).spec, { token: 'canary', audiences: ['aud'] });
      call.reply(201, { status });
      const verdict = await review;
      assert.equal(verdict.kind, kind);
      if (verdict.kind === 'authenticated') assert.deepEqual(verdict.user, { ...user, extra: { k: ['v'], odd: [] } });
    });
  }

  it('that hangs says nothing about the token', async (t) => {
    const api = await ScriptedApi.start(t);
    const review = new KubeTokenReviewer(api.client()).review('canary', 'aud', unending);
    await api.next();
    api.timers.jump(8000);
    assert.deepEqual(await review, { kind: 'unavailable' });
  });
});

describe('A requested token', () => {
  const request = {
    namespace: 'ns',
    serviceAccount: { name: 'sa', uid: 'sa-uid' as ServiceAccountUid },
    audience: 'aud',
    expirationSeconds: 900,
    boundTo: { kind: 'pod', name: 'pod', uid: 'pod-uid' as PodUid },
  } as const;
  const tokenFor = (uid: string) => {
    const claims = { 'kubernetes.io': { serviceaccount: { uid } } };
    return `canary.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.canary`;
  };
  const expirationTimestamp = '2026-01-01T00:00:00Z';

  it('is asked for the pod, the ServiceAccount and one audience', async (t) => {
    const api = await ScriptedApi.start(t);
    const issued = new KubeServiceAccountTokens(api.client()).request(request, unending);
    const call = await api.next();
    assert.equal(call.path, '/api/v1/namespaces/ns/serviceaccounts/sa/token');
    assert.deepEqual(call.body, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: { uid: 'sa-uid' },
      spec: {
        audiences: ['aud'],
        expirationSeconds: 900,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: 'pod', uid: 'pod-uid' },
      },
    });
    call.reply(201, { status: { token: tokenFor('sa-uid'), expirationTimestamp } });
    assert.deepEqual(await issued, { token: tokenFor('sa-uid'), expiresAt: Date.parse(expirationTimestamp) });
  });

  for (const [what, status, code] of [
    [
      'of a ServiceAccount that was recreated',
      { token: tokenFor('other'), expirationTimestamp },
      'kubernetes-conflict',
    ],
    ['that names no ServiceAccount', { token: 'canary', expirationTimestamp }, 'kubernetes-conflict'],
    ['without an end', { token: tokenFor('sa-uid') }, 'kubernetes-unavailable'],
    ['that is missing', { expirationTimestamp }, 'kubernetes-unavailable'],
  ] as const) {
    it(`${what} is thrown away, and named in no error`, async (t) => {
      const api = await ScriptedApi.start(t);
      const issued = new KubeServiceAccountTokens(api.client()).request(request, unending).catch((e: unknown) => e);
      (await api.next()).reply(201, { status });
      const error = await issued;
      assert.equal(errorCodeOf(error), code);
      assert.doesNotMatch(inspect(error, { depth: 9 }), /canary/);
    });
  }
});
