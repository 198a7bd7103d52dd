import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BindingUid } from '../../../../operator/core/brand.ts';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import type { ClusterStore } from '../../../../operator/core/cluster/store.ts';
import { ClusterWorkloads } from '../../../../operator/controllers/lookup/workloads.ts';
import {
  binding,
  condition,
  gkeProvider,
  metadataProxy,
  namespace,
  node,
  pod,
  poolProvider,
  provider,
  serviceAccount,
  storeOf,
} from '../../../builders/objects.ts';

const rules = { ownNamespace: 'metaveil-system', allowInsecureEndpoints: false };
const base: readonly StoredObject[] = [node(), namespace(), serviceAccount(), provider(), metadataProxy()];
const federating = metadataProxy({ metadata: { generation: 2 }, spec: { unboundWorkloads: 'FederatedIdentity' } });
const uid = (text: string) => text as BindingUid;

function lookupIn(store: ClusterStore) {
  const lookup = new ClusterWorkloads(store, rules);
  const told: string[][] = [];
  lookup.onBindingChange((bindings) => told.push([...bindings].sort()));
  return { lookup, take: () => told.splice(0) };
}

describe('ClusterWorkloads.find', () => {
  it('gives a live pod with its identity and where it is exchanged', () => {
    const store = storeOf(...base, pod(), binding());
    assert.deepEqual(new ClusterWorkloads(store, rules).find(pod().uid), {
      uid: 'pod-web-api-0',
      namespace: 'web',
      name: 'api-0',
      nodeName: 'node-a',
      serviceAccount: { name: 'api', uid: 'sa-web-api' },
      identity: {
        kind: 'bound',
        binding: {
          uid: 'wib-web-api',
          name: 'api',
          generation: 1,
          epoch: '',
          access: 'Impersonate',
          email: 'api@my-project.iam.gserviceaccount.com',
          tokenLifetimeSeconds: 3600,
        },
      },
      provider: { audience: `//iam.googleapis.com/${poolProvider}`, universeDomain: 'googleapis.com' },
    });
  });

  it('knows no finished or unknown pod, nor one whose namespace has not arrived', () => {
    for (const objects of [[pod({ phase: 'Succeeded' })], [pod({ phase: 'Failed' })], []]) {
      assert.equal(new ClusterWorkloads(storeOf(...base, ...objects), rules).find(pod().uid), undefined);
    }
    const early = pod({ namespace: 'new' });
    assert.equal(new ClusterWorkloads(storeOf(...base, early), rules).find(early.uid), undefined);
  });

  it('knows a terminating pod until it is gone', () => {
    const lookup = new ClusterWorkloads(storeOf(...base, pod({ deleting: true })), rules);
    assert.equal(lookup.find(pod().uid)?.name, 'api-0');
  });

  it('gives no provider where nothing is exchanged', () => {
    const unbound = new ClusterWorkloads(storeOf(...base, pod()), rules).find(pod().uid);
    assert.deepEqual([unbound?.identity, unbound?.provider], [{ kind: 'unbound', reason: 'no-binding' }, undefined]);
    const onGke = new ClusterWorkloads(storeOf(...base, gkeProvider(), pod(), binding()), rules).find(pod().uid);
    assert.deepEqual([onGke?.identity.kind, onGke?.provider], ['bound', undefined]);
  });

  it('gives the federated identity only on nodes whose MetadataProxy says so', () => {
    const lookup = new ClusterWorkloads(
      storeOf(
        ...base,
        metadataProxy({ spec: { unboundWorkloads: 'FederatedIdentity', nodeSelector: { pool: 'x' } } }),
        node({ name: 'node-x', labels: { pool: 'x' } }),
        pod(),
        pod({ name: 'there', nodeName: 'node-x' }),
      ),
      rules,
    );
    assert.equal(lookup.find(pod().uid)?.identity.kind, 'unbound');
    assert.equal(lookup.find(pod({ name: 'there' }).uid)?.identity.kind, 'bound');
  });
});

describe('ClusterWorkloads.binding', () => {
  it('is what is in force now', () => {
    const store = storeOf(...base, binding());
    const { lookup } = lookupIn(store);
    assert.equal(lookup.binding(uid('wib-web-api'))?.generation, 1);
    store.upsert(binding({ metadata: { generation: 2 } }));
    assert.equal(lookup.binding(uid('wib-web-api'))?.generation, 2);
    store.upsert(binding({ metadata: { generation: 3 }, spec: { suspend: true } }));
    assert.equal(lookup.binding(uid('wib-web-api')), undefined);
    store.upsert(binding({ metadata: { generation: 4 } }));
    store.remove('WorkloadIdentityProvider', 'default');
    assert.equal(lookup.binding(uid('wib-web-api')), undefined);
  });

  it('is not another binding that came under the name', () => {
    const store = storeOf(...base, binding());
    const { lookup } = lookupIn(store);
    store.upsert(binding({ metadata: { uid: 'again' } }));
    assert.equal(lookup.binding(uid('wib-web-api')), undefined);
    assert.equal(lookup.binding(uid('again'))?.name, 'api');
  });

  it('covers federated and adopted identities while they are allowed', () => {
    const store = storeOf(...base);
    const { lookup } = lookupIn(store);
    assert.equal(lookup.binding(uid('federated/sa-web-api')), undefined);
    store.upsert(federating);
    assert.equal(lookup.binding(uid('federated/sa-web-api'))?.access, 'Direct');
    store.upsert(serviceAccount({ gkeServiceAccount: 'old@my-project.iam.gserviceaccount.com' }));
    store.upsert(namespace('web', { 'metaveil.dev/adopt-annotations': 'true' }));
    store.upsert(provider({ spec: { adoptAnnotations: true } }));
    assert.equal(lookup.binding(uid('adopted/sa-web-api'))?.email, 'old@my-project.iam.gserviceaccount.com');
    assert.equal(lookup.binding(uid('federated/sa-web-api')), undefined);
    store.upsert(serviceAccount({ uid: 'again' }));
    assert.equal(lookup.binding(uid('adopted/sa-web-api')), undefined);
    assert.equal(lookup.binding(uid('federated/again'))?.access, 'Direct');
  });
});

describe('ClusterWorkloads.onBindingChange', () => {
  const synthesised = ['adopted/sa-web-api', 'federated/sa-web-api'];
  const rows: readonly (readonly [what: string, object: StoredObject, told: readonly string[][]])[] = [
    ['a new generation', binding({ metadata: { generation: 2 } }), [[...synthesised, 'wib-web-api']]],
    [
      'a permission that Google took back',
      binding({
        status: {
          observedGeneration: 1,
          conditions: [condition({ type: 'CredentialsVerified', status: 'False', reason: 'PermissionDenied' })],
        },
      }),
      [[...synthesised, 'wib-web-api']],
    ],
    [
      'nothing on a mere status update',
      binding({
        metadata: { resourceVersion: '9' },
        status: { observedGeneration: 1, conditions: [condition({ type: 'Ready', status: 'True', reason: 'Ready' })] },
      }),
      [],
    ],
    ['nothing on a new pod', pod(), []],
    [
      'a provider that changed',
      provider({ metadata: { generation: 2 }, spec: { audience: 'other' } }),
      [[...synthesised, 'wib-web-api']],
    ],
    [
      'a namespace that opens to adoption',
      namespace('web', { 'metaveil.dev/adopt-annotations': 'true' }),
      [[...synthesised, 'wib-web-api']],
    ],
    ['a MetadataProxy that federates', federating, [[...synthesised, 'wib-web-api']]],
    [
      'an annotation that changed',
      serviceAccount({ gkeServiceAccount: 'x@p.iam.gserviceaccount.com' }),
      [[...synthesised, 'wib-web-api']],
    ],
  ];
  for (const [what, object, expected] of rows) {
    it(`tells of ${what}`, () => {
      const store = storeOf(...base, binding());
      const { take } = lookupIn(store);
      store.upsert(object);
      assert.deepEqual(take(), expected);
    });
  }

  it('tells of a binding and of a ServiceAccount that are gone, when they are no longer in force', () => {
    const store = storeOf(...base, binding());
    const { lookup, take } = lookupIn(store);
    let inForce: unknown = 'not asked';
    lookup.onBindingChange(() => (inForce = lookup.binding(uid('wib-web-api'))));
    store.remove('WorkloadIdentityBinding', 'web/api');
    assert.deepEqual(take(), [[...synthesised, 'wib-web-api']]);
    assert.equal(inForce, undefined);
    store.remove('ServiceAccount', 'web/api');
    assert.deepEqual(take(), [synthesised]);
  });

  it('tells only of the bindings of a provider that is not the default one', () => {
    const other = provider({ name: 'other' });
    const store = storeOf(...base, other, binding(), serviceAccount({ name: 'b' }));
    store.upsert(binding({ name: 'b', spec: { providerName: 'other' } }));
    const { take } = lookupIn(store);
    store.remove('WorkloadIdentityProvider', 'other');
    assert.deepEqual(take(), [['adopted/sa-web-b', 'federated/sa-web-b', 'wib-web-b']]);
  });
});
