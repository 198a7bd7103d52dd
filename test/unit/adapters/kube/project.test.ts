import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { clusterReflections } from '../../../../operator/adapters/kube/cluster-reflections.ts';
import { projectNamespace, projectServiceAccount } from '../../../../operator/adapters/kube/project/account.ts';
import { projectCustom } from '../../../../operator/adapters/kube/project/custom.ts';
import { projectNetworkPolicy } from '../../../../operator/adapters/kube/project/network-policy.ts';
import { projectNode } from '../../../../operator/adapters/kube/project/node.ts';
import { projectPod } from '../../../../operator/adapters/kube/project/pod.ts';
import { keyOf } from '../../../../operator/core/cluster/kinds.ts';
import { ClusterStore } from '../../../../operator/core/cluster/store.ts';

const metadata = {
  namespace: 'ns',
  name: 'a',
  uid: 'u',
  resourceVersion: '7',
  creationTimestamp: '2026-01-01T00:00:00Z',
};

describe('A projection keeps', () => {
  it('of a pod who it is, where, and whose', () => {
    const raw = {
      metadata: {
        ...metadata,
        labels: { app: 'a' },
        annotations: { 'kubernetes.io/config.hash': 'h', secret: 'canary' },
        deletionTimestamp: '2026-01-02T00:00:00Z',
        managedFields: [{ manager: 'canary' }],
        ownerReferences: [
          { kind: 'Other', uid: 'o1' },
          { kind: 'DaemonSet', uid: 'o2', controller: true },
        ],
      },
      spec: { serviceAccountName: 'sa', nodeName: 'n', hostNetwork: true, containers: [{ env: 'canary' }] },
      status: {
        phase: 'Running',
        hostIP: '10.0.0.1',
        podIPs: [{ ip: '10.1.0.1' }, { ip: 'fd00::1' }],
        conditions: [{ type: 'Ready', status: 'True' }],
      },
    };
    assert.deepEqual(projectPod(raw), {
      kind: 'Pod',
      uid: 'u',
      namespace: 'ns',
      name: 'a',
      labels: { app: 'a' },
      serviceAccountName: 'sa',
      nodeName: 'n',
      hostNetwork: true,
      phase: 'Running',
      ips: ['10.1.0.1', 'fd00::1'],
      hostIP: '10.0.0.1',
      deleting: true,
      ready: true,
      ownerUid: 'o2',
      ownerKind: 'DaemonSet',
      configHash: 'h',
      creationTimestamp: metadata.creationTimestamp,
    });
  });

  it('of a ServiceAccount the one annotation that GKE reads', () => {
    const annotations = { 'iam.gke.io/gcp-service-account': 'a@p.iam.gserviceaccount.com', other: 'x' };
    const projected = projectServiceAccount({ metadata: { ...metadata, annotations } });
    assert.deepEqual(projected, {
      kind: 'ServiceAccount',
      uid: 'u',
      namespace: 'ns',
      name: 'a',
      gkeServiceAccount: 'a@p.iam.gserviceaccount.com',
    });
  });

  it('of a namespace its labels', () => {
    const projected = projectNamespace({ metadata: { name: 'ns', uid: 'u', labels: { a: 'b' } } });
    assert.deepEqual(projected, { kind: 'Namespace', uid: 'u', name: 'ns', labels: { a: 'b' } });
  });

  it('of a node nothing that a heartbeat changes', () => {
    const node = (heartbeat: string) => ({
      metadata: { name: 'n', uid: 'u', resourceVersion: heartbeat, labels: { pool: 'web' } },
      spec: { providerID: 'gce://p/z/n', unschedulable: true, taints: [{ key: 'k', effect: 'NoSchedule' }] },
      status: {
        addresses: [
          { type: 'Hostname', address: 'n' },
          { type: 'InternalIP', address: '10.0.0.1' },
        ],
        conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: heartbeat }],
      },
    });
    assert.deepEqual(projectNode(node('1')), projectNode(node('2')));
    assert.deepEqual(projectNode(node('1')), {
      kind: 'Node',
      uid: 'u',
      name: 'n',
      labels: { pool: 'web' },
      providerID: 'gce://p/z/n',
      internalIPs: ['10.0.0.1'],
      ready: true,
      unschedulable: true,
      taints: [{ key: 'k', value: '', effect: 'NoSchedule' }],
      creationTimestamp: '',
    });
  });

  it('of a NetworkPolicy its egress, an absent list as absent', () => {
    const spec = {
      podSelector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] },
      policyTypes: ['Egress'],
      ingress: [{}],
      egress: [
        {},
        {
          to: [],
          ports: [
            { protocol: 'UDP', port: 'dns' },
            { port: 80, endPort: 90 },
          ],
        },
        {
          to: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] } }, { namespaceSelector: {}, podSelector: {} }],
        },
      ],
    };
    assert.deepEqual(projectNetworkPolicy({ metadata, spec }), {
      kind: 'NetworkPolicy',
      uid: 'u',
      namespace: 'ns',
      name: 'a',
      labels: {},
      podSelector: { matchExpressions: [{ key: 'app', operator: 'Exists', values: [] }] },
      policyTypes: ['Egress'],
      egress: spec.egress,
    });
  });

  it('of our own kinds spec and status as they are, without managedFields', () => {
    const raw = {
      apiVersion: 'metaveil.dev/v1',
      kind: 'MetadataPolicy',
      metadata: { ...metadata, generation: 3, finalizers: ['f'], annotations: { last: 'x' }, managedFields: [{}] },
      spec: { conceal: ['instance/id'] },
      status: { observedGeneration: 2 },
    };
    assert.deepEqual(projectCustom('MetadataPolicy')(raw), {
      apiVersion: 'metaveil.dev/v1',
      kind: 'MetadataPolicy',
      metadata: { ...metadata, generation: 3, finalizers: ['f'], labels: {} },
      spec: raw.spec,
      status: raw.status,
    });
  });
});

describe('No projection', () => {
  const reflections = clusterReflections(new ClusterStore());

  for (const { type, project } of reflections) {
    it(`of ${type.kind} throws, whatever it is given, and what it makes has a key`, () => {
      const anything = fc.jsonValue({ maxDepth: 4 });
      const shaped = fc.record(
        {
          metadata: fc.oneof(
            anything,
            fc.record({ name: fc.constant('a'), uid: fc.constant('u'), labels: anything, ownerReferences: anything }),
          ),
          spec: fc.oneof(anything, fc.record({ egress: fc.array(anything), taints: fc.array(anything) })),
          status: fc.oneof(anything, fc.record({ podIPs: fc.array(anything), conditions: fc.array(anything) })),
        },
        { requiredKeys: [] },
      );
      fc.assert(
        fc.property(shaped, (raw) => {
          const object = project(raw);
          if (object === undefined) return;
          assert.equal(object.kind, type.kind);
          assert.equal(keyOf(object).split('/').at(-1), (raw.metadata as { name: string }).name);
        }),
      );
    });
  }

  it('is missing: every kind of the store has one watch', () => {
    assert.deepEqual(
      reflections.map(({ type }) => `${type.group}/${type.plural}`),
      [
        '/pods',
        '/serviceaccounts',
        '/namespaces',
        '/nodes',
        'networking.k8s.io/networkpolicies',
        'metaveil.dev/workloadidentitybindings',
        'metaveil.dev/workloadidentityproviders',
        'metaveil.dev/metadatapolicies',
        'metaveil.dev/clustermetadatapolicies',
        'metaveil.dev/metadataproxies',
      ],
    );
  });
});
