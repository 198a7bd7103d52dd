/** A small random cluster and random changes to it, for properties over snapshots. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type { ContentHash } from '../../../../operator/core/brand.ts';
import { keyOf } from '../../../../operator/core/cluster/kinds.ts';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import type { ClusterStore } from '../../../../operator/core/cluster/store.ts';
import { LastGoodPolicies } from '../../../../operator/core/snapshot/policies.ts';
import type { AnyPolicy, Compile } from '../../../../operator/core/snapshot/policies.ts';
import type { SnapshotOptions } from '../../../../operator/core/snapshot/build.ts';
import type { PolicyUid } from '../../../../operator/core/brand.ts';
import {
  binding,
  clusterMetadataPolicy,
  metadataPolicy,
  metadataProxy,
  namespace,
  node,
  pod,
  provider,
  serviceAccount,
} from '../../../builders/objects.ts';

export const hash = (text: string) => createHash('sha256').update(text).digest('hex') as ContentHash;

/** Stands for the compiler: a conceal pattern `!bad` does not compile. */
export const compile: Compile = (policy: AnyPolicy) =>
  policy.spec.conceal?.includes('!bad') === true
    ? { kind: 'rejected' }
    : {
        kind: 'compiled',
        policy: {
          uid: (policy.metadata.uid ?? '') as PolicyUid,
          kind: policy.kind,
          namespace: policy.metadata.namespace ?? '',
          name: policy.metadata.name,
          generation: policy.metadata.generation ?? 0,
          mode: policy.spec.mode,
          conceal: (policy.spec.conceal ?? []).map((source) => ({ source, segments: [], subtree: false })),
          reveal: [],
        },
      };

export const rules = { ownNamespace: 'metaveil-system', allowInsecureEndpoints: false };

export function optionsFor(store: ClusterStore): SnapshotOptions {
  const policies = new LastGoodPolicies(compile);
  policies.follow(store);
  return { rules, effective: (policy) => policies.effective(policy), hash };
}

export type Change =
  | { readonly kind: 'upsert'; readonly object: StoredObject }
  | { readonly kind: 'remove'; readonly object: StoredObject };

export function change(store: ClusterStore, { kind, object }: Change): void {
  if (kind === 'upsert') store.upsert(object);
  else store.remove(object.kind, keyOf(object));
}

const nodeName = fc.constantFrom('node-a', 'node-b', 'node-c');
const namespaceName = fc.constantFrom('web', 'web', 'web', 'shop', 'kube-system', 'metaveil-system');
const accountName = fc.constantFrom('api', 'api', 'worker');
const label = fc.constantFrom('red', 'green');
const generation = fc.integer({ min: 1, max: 3 });
const phase = fc.constantFrom('Pending', 'Running', 'Succeeded', 'Failed');

const pods = fc
  .record({
    namespace: namespaceName,
    name: fc.constantFrom('p0', 'p1', 'p2'),
    uid: fc.constantFrom('', '-again'),
    serviceAccountName: accountName,
    nodeName: fc.oneof(nodeName, fc.constant('')),
    labels: fc.record({ color: label }),
    phase,
    configHash: fc.constantFrom('', '', '', 'abc'),
    ready: fc.boolean(),
  })
  .map(({ uid, ...fields }) => pod({ ...fields, uid: `pod-${fields.namespace}-${fields.name}${uid}` }));

const selector = fc.option(
  label.map((color) => ({ matchLabels: { color } })),
  { nil: undefined },
);
const conceal = fc
  .constantFrom([['instance/id']], [['!bad']], [['instance/zone', 'instance/name']])
  .map(([list]) => list);

const policySpec = fc.record({ podSelector: selector, conceal }).map(({ podSelector, conceal: patterns }) => ({
  ...(podSelector !== undefined && { podSelector }),
  conceal: patterns,
}));

const objects: fc.Arbitrary<StoredObject> = fc.oneof(
  { weight: 4, arbitrary: pods },
  nodeName.chain((name) => label.map((pool) => node({ name, labels: { pool } }))),
  fc
    .record({ name: namespaceName, color: label, adopt: fc.constantFrom('true', 'false') })
    .map(({ name, ...labels }) =>
      namespace(name, { color: labels.color, 'metaveil.dev/adopt-annotations': labels.adopt }),
    ),
  fc
    .record({ namespace: namespaceName, name: accountName, uid: fc.constantFrom('sa-1', 'sa-2'), email: fc.boolean() })
    .map(({ email, uid, ...fields }) =>
      serviceAccount({
        ...fields,
        uid: `${uid}-${fields.namespace}-${fields.name}`,
        gkeServiceAccount: email ? 'old@my-project.iam.gserviceaccount.com' : '',
      }),
    ),
  fc
    .record({ namespace: namespaceName, name: accountName, generation, suspend: fc.boolean() })
    .map(({ namespace: ns, name, generation: number, suspend }) =>
      binding({ namespace: ns, name, metadata: { generation: number }, spec: { suspend } }),
    ),
  fc.boolean().map((adoptAnnotations) => provider({ spec: { adoptAnnotations } })),
  fc
    .record({ namespace: namespaceName, spec: policySpec, generation })
    .map(({ namespace: ns, spec, generation: number }) =>
      metadataPolicy({ namespace: ns, spec, metadata: { generation: number } }),
    ),
  fc
    .record({ name: fc.constantFrom('first', 'second'), namespaceSelector: selector, spec: policySpec, generation })
    .map(({ name, namespaceSelector, spec, generation: number }) =>
      clusterMetadataPolicy({
        name,
        spec: { ...spec, ...(namespaceSelector !== undefined && { namespaceSelector }) },
        metadata: { generation: number },
      }),
    ),
  fc
    .record({
      name: fc.constantFrom('older', 'younger'),
      pool: fc.option(label, { nil: undefined }),
      unboundWorkloads: fc.constantFrom('Deny' as const, 'FederatedIdentity' as const),
    })
    .map(({ name, pool, unboundWorkloads }) =>
      metadataProxy({
        name,
        metadata: { creationTimestamp: name === 'older' ? '2026-01-01T00:00:00Z' : '2026-02-01T00:00:00Z' },
        spec: { unboundWorkloads, ...(pool !== undefined && { nodeSelector: { pool } }) },
      }),
    ),
);

export const changes: fc.Arbitrary<readonly Change[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: objects.map((object): Change => ({ kind: 'upsert', object })) },
    { weight: 1, arbitrary: objects.map((object): Change => ({ kind: 'remove', object })) },
  ),
  { maxLength: 60 },
);
