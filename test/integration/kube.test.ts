import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { Event } from 'kubernetes-types/events/v1.js';
import { KubeEventRecorder } from '../../operator/adapters/kube/event-recorder.ts';
import { ApiDiscovery } from '../../operator/adapters/kube/discovery.ts';
import { KubeIssuerDiscovery } from '../../operator/adapters/kube/issuer.ts';
import { ConfigMapTrustBundle, SecretAuthorityStore } from '../../operator/adapters/kube/kube-authority.ts';
import type { KubeClient } from '../../operator/adapters/kube/client.ts';
import { KubeServiceAccountTokens } from '../../operator/adapters/kube/service-account-tokens.ts';
import { KubeNetworkPolicyKinds } from '../../operator/adapters/kube/network-policy-kinds.ts';
import { KubeNodeTaints, KubeServingGates } from '../../operator/adapters/kube/node-changes.ts';
import { KubeTokenReviewer } from '../../operator/adapters/kube/token-reviewer.ts';
import { KubeWriter } from '../../operator/adapters/kube/writer.ts';
import { servingGate } from '../../operator/controllers/proxies/pod-template.ts';
import type { PodUid, ServiceAccountUid } from '../../operator/core/brand.ts';
import { errorCodeOf, type ErrorCode } from '../../operator/core/errors.ts';
import { fieldManager, metadataProxyFinalizer } from '../../operator/core/names.ts';
import type { ServiceAccountTokenRequest } from '../../operator/nodeapi/server/ports.ts';
import type { AuthorityState } from '../../operator/nodeapi/server/certificates.ts';
import type { ClusterAccess } from '../cluster/access.ts';
import { eventually } from '../cluster/eventually.ts';
import {
  clusterKind,
  ConfigMaps,
  namespacedKind,
  Nodes,
  Pods,
  Secrets,
  ServiceAccounts,
  type Stored,
} from '../cluster/kinds.ts';
import { createNode } from '../cluster/nodes.ts';
import { bindAndRun, refreshReadiness } from '../cluster/pods.ts';
import { sharedCluster } from '../cluster/shared.ts';
import { clientOf, installKinds, newNamespace, realTimers } from './kube-access.ts';

interface Custom {
  readonly metadata?: object;
  readonly spec?: object;
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly { readonly type: string }[];
  };
}

const bindings = namespacedKind<Custom>('metaveil.dev/v1', 'WorkloadIdentityBinding', 'workloadidentitybindings');
const proxies = clusterKind<Custom>('metaveil.dev/v1', 'MetadataProxy', 'metadataproxies');
const events = namespacedKind<Event>('events.k8s.io/v1', 'Event', 'events');

const audience = '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x';

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | undefined> {
  try {
    await work;
  } catch (error) {
    return errorCodeOf(error);
  }
  return undefined;
}

describe('the adapters on a real API server', () => {
  let cluster: ClusterAccess;
  let client: KubeClient;
  let namespace: string;
  let leading = true;
  let writer: KubeWriter;

  before(async () => {
    cluster = await sharedCluster();
    await installKinds(cluster);
    namespace = await newNamespace(cluster, 'kube');
    client = clientOf(cluster.kubeconfigPath);
    writer = new KubeWriter({ client, discovery: new ApiDiscovery(client, realTimers), mayWrite: () => leading });
  });

  after(async () => {
    await client.close();
  });

  describe('the writer', () => {
    const configMap = (name: string, data: Record<string, string>) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace, labels: { 'metaveil.dev/owner-name': 'kube-test' } },
      data,
    });

    it('applies an object with our field manager, and a second time without a change', async () => {
      await writer.apply(configMap('applied', { a: '1' }));
      const first = await cluster.api.get(ConfigMaps, { namespace, name: 'applied' });
      assert.deepEqual(
        first.metadata.managedFields?.map(({ manager, operation }) => [manager, operation]),
        [[fieldManager, 'Apply']],
      );
      await writer.apply(configMap('applied', { a: '1' }));
      const second = await cluster.api.get(ConfigMaps, { namespace, name: 'applied' });
      assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
    });

    it('takes a field of our object back from whoever changed it', async () => {
      await writer.apply(configMap('drifted', { a: '1' }));
      await cluster.api.patch(ConfigMaps, { namespace, name: 'drifted' }, { data: { a: 'theirs', b: 'theirs' } });
      await writer.apply(configMap('drifted', { a: '1' }));
      const { data } = await cluster.api.get(ConfigMaps, { namespace, name: 'drifted' });
      assert.deepEqual(data, { a: '1', b: 'theirs' });
    });

    it('does not take a field of others without force, and says whose it is', async () => {
      await cluster.api.apply(
        ServiceAccounts,
        { metadata: { namespace, name: 'theirs', annotations: { 'iam.gke.io/gcp-service-account': 'theirs' } } },
        { fieldManager: 'terraform' },
      );
      const ours = (email: string, uid?: string) => ({
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: {
          namespace,
          name: 'theirs',
          annotations: { 'iam.gke.io/gcp-service-account': email },
          ...(uid !== undefined && { uid }),
        },
      });
      const outcome = await writer.applyUnforced(ours('ours'));
      assert.equal(outcome.kind, 'conflict');
      assert.match(outcome.message, /terraform/);
      assert.deepEqual(
        await writer.applyUnforced(ours('theirs')),
        { kind: 'applied' },
        'the same value is no conflict',
      );
      const otherUid = randomUUID();
      assert.equal(await codeOf(writer.applyUnforced(ours('theirs', otherUid))), 'kubernetes-conflict');
      await cluster.api.delete(ServiceAccounts, { namespace, name: 'theirs' });
      assert.equal(await codeOf(writer.applyUnforced(ours('theirs', otherUid))), 'kubernetes-conflict');
      assert.equal(await cluster.api.find(ServiceAccounts, { namespace, name: 'theirs' }), undefined);
    });

    it('deletes only the object that was meant', async () => {
      const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace, name: 'deleted' };
      await writer.apply(configMap('deleted', {}));
      await writer.delete(ref, randomUUID());
      const { uid } = (await cluster.api.get(ConfigMaps, ref)).metadata;
      await writer.delete(ref, uid);
      assert.equal(await cluster.api.find(ConfigMaps, ref), undefined);
      await writer.delete(ref, uid);
      await writer.delete({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', name: 'x' }, uid);
    });

    it('lists what carries our labels, with kind and uid, and nothing of a kind that is not installed', async () => {
      await writer.apply(configMap('listed', { a: '1' }));
      const labels = { 'metaveil.dev/owner-name': 'kube-test' };
      const owned = await writer.listOwned({ apiVersion: 'v1', kind: 'ConfigMap' }, labels);
      const listed = owned.find(({ ref }) => ref.name === 'listed' && ref.namespace === namespace);
      const stored = await cluster.api.get(ConfigMaps, { namespace, name: 'listed' });
      assert.equal(listed?.ref.uid, stored.metadata.uid);
      assert.deepEqual(listed.labels, labels);
      assert.equal(listed.object['kind'], 'ConfigMap');
      assert.ok(owned.every((object) => object.labels['metaveil.dev/owner-name'] === 'kube-test'));
      assert.deepEqual(await writer.listOwned({ apiVersion: 'cilium.io/v2', kind: 'X' }, labels), []);
    });

    it('writes a status with the full list of conditions; what is left out goes', async () => {
      const object = {
        metadata: { namespace, name: 'app' },
        spec: { serviceAccountName: 'app', googleServiceAccount: 'app@my-project.iam.gserviceaccount.com' },
      };
      const { metadata } = await cluster.api.create(bindings, object);
      const ref = { apiVersion: 'metaveil.dev/v1', kind: 'WorkloadIdentityBinding', namespace, name: 'app' };
      const condition = (type: string) => ({
        type,
        status: 'True',
        reason: 'Accepted',
        message: 'as a test',
        lastTransitionTime: '2026-01-01T00:00:00Z',
      });
      const status = (...types: string[]) => ({ observedGeneration: 1, conditions: types.map(condition) });
      const conditions = async () => (await cluster.api.get(bindings, ref)).status?.conditions?.map(({ type }) => type);
      await writer.updateStatus({ ...ref, uid: metadata.uid }, status('Ready', 'Accepted', 'Stalled'));
      assert.deepEqual(await conditions(), ['Ready', 'Accepted', 'Stalled']);
      await writer.updateStatus({ ...ref, uid: metadata.uid }, status('Ready', 'Accepted'));
      assert.deepEqual(await conditions(), ['Ready', 'Accepted']);
      const { resourceVersion } = (await cluster.api.get(bindings, ref)).metadata;
      await writer.updateStatus({ ...ref, uid: metadata.uid }, status('Ready', 'Accepted'));
      assert.equal((await cluster.api.get(bindings, ref)).metadata.resourceVersion, resourceVersion);
      await writer.updateStatus({ ...ref, name: 'gone' }, status('Ready'));
      const recreated = writer.updateStatus({ ...ref, uid: randomUUID() }, status('Ready', 'Accepted'));
      assert.equal(await codeOf(recreated), 'kubernetes-conflict');
    });

    it('adds and removes one finalizer and leaves the others alone', async () => {
      const name = namespace;
      const ref = { apiVersion: 'metaveil.dev/v1', kind: 'MetadataProxy', name };
      // Selects no node of any other test.
      await cluster.api.create(proxies, { metadata: { name }, spec: { nodeSelector: { 'kube-test': name } } });
      const finalizers = async () => (await cluster.api.get(proxies, ref)).metadata.finalizers ?? [];
      await writer.addFinalizer(ref, metadataProxyFinalizer);
      assert.deepEqual(await finalizers(), [metadataProxyFinalizer]);
      await cluster.api.patch(proxies, ref, { metadata: { finalizers: ['a.b/c', metadataProxyFinalizer, 'd.e/f'] } });
      const { resourceVersion } = (await cluster.api.get(proxies, ref)).metadata;
      await writer.addFinalizer(ref, metadataProxyFinalizer);
      assert.equal((await cluster.api.get(proxies, ref)).metadata.resourceVersion, resourceVersion);
      await writer.removeFinalizer(ref, metadataProxyFinalizer);
      assert.deepEqual(await finalizers(), ['a.b/c', 'd.e/f']);
      await writer.removeFinalizer(ref, metadataProxyFinalizer);
      await writer.addFinalizer(ref, metadataProxyFinalizer);
      assert.deepEqual(await finalizers(), ['a.b/c', 'd.e/f', metadataProxyFinalizer]);
      await cluster.api.delete(proxies, ref);
      await writer.removeFinalizer(ref, metadataProxyFinalizer);
      await cluster.api.patch(proxies, ref, { metadata: { finalizers: null } });
      await writer.removeFinalizer(ref, metadataProxyFinalizer);
      assert.equal(await cluster.api.find(proxies, ref), undefined);
    });

    it('says which kind the cluster does not serve', async () => {
      const object = { apiVersion: 'policy.networking.k8s.io/v1alpha2', kind: 'Missing', metadata: { name: 'x' } };
      assert.equal(await codeOf(writer.apply(object)), 'kubernetes-not-found');
    });

    it('writes nothing once another replica leads', async () => {
      leading = false;
      try {
        assert.equal(await codeOf(writer.apply(configMap('fenced', {}))), 'kubernetes-conflict');
      } finally {
        leading = true;
      }
      assert.equal(await cluster.api.find(ConfigMaps, { namespace, name: 'fenced' }), undefined);
    });
  });

  it('sets the readiness gate of a pod beside the conditions of the kubelet', async () => {
    const gates = new KubeServingGates(client, realTimers);
    const node = `gate-${randomUUID().slice(0, 8)}`;
    await createNode(cluster, node);
    const { metadata } = await cluster.api.create(Pods, {
      metadata: { namespace, name: 'gated' },
      spec: {
        containers: [{ name: 'main', image: 'example.invalid/none' }],
        readinessGates: [{ conditionType: servingGate }],
      },
    });
    await bindAndRun(cluster, metadata, { node, podIP: '10.9.8.6' });
    const pod = { namespace, name: 'gated', uid: metadata.uid };
    const conditions = async () => {
      const { status } = await cluster.api.get(Pods, pod);
      return Object.fromEntries((status?.conditions ?? []).map(({ type, status: value }) => [type, value]));
    };
    const before = await conditions();
    await gates.set(pod, true);
    assert.deepEqual(await conditions(), { ...before, [servingGate]: 'True' });
    await refreshReadiness(cluster, await cluster.api.get(Pods, pod));
    assert.equal((await conditions())['Ready'], 'True');
    await gates.set(pod, false);
    assert.equal((await conditions())[servingGate], 'False');
    await gates.set({ ...pod, uid: randomUUID() }, true);
    assert.equal((await conditions())[servingGate], 'False', 'another pod of that name is left alone');
    await gates.set({ ...pod, name: 'gone' }, true);
  });

  it('removes one taint of a node and leaves the others', async () => {
    const name = `taint-${randomUUID().slice(0, 8)}`;
    const taint = (key: string) => ({ key, effect: 'NoSchedule' as const });
    await createNode(cluster, name, { taints: [taint('a'), taint('startup'), taint('b')] });
    const keys = async () => (await cluster.api.get(Nodes, { name })).spec?.taints?.map(({ key }) => key);
    const taints = new KubeNodeTaints(client);
    await taints.remove(name, 'startup');
    assert.deepEqual(await keys(), ['a', 'b']);
    await taints.remove(name, 'startup');
    await taints.remove('gone', 'startup');
    assert.deepEqual(await keys(), ['a', 'b']);
  });

  it('lists what is owned in one namespace only, if asked', async () => {
    const elsewhere = await newNamespace(cluster, 'kube');
    const labels = { 'metaveil.dev/owner-name': elsewhere };
    for (const each of [namespace, elsewhere]) {
      await writer.apply({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'scoped', namespace: each, labels },
      });
    }
    const type = { apiVersion: 'v1', kind: 'ConfigMap' };
    const owned = await writer.listOwned({ ...type, namespace: elsewhere }, labels);
    assert.deepEqual(
      owned.map(({ ref }) => ref.namespace),
      [elsewhere],
    );
    assert.equal((await writer.listOwned(type, labels)).length, 2);
  });

  it('no cluster-level deny kind is served by a plain cluster', async () => {
    const discovery = new KubeNetworkPolicyKinds(new ApiDiscovery(client, realTimers));
    assert.deepEqual(await discovery.discover(), { denyKinds: [], cilium: false });
  });

  describe('events', () => {
    it('appear on the object, counted when they repeat', async () => {
      const failures: string[] = [];
      const recorder = new KubeEventRecorder({
        client,
        timers: realTimers,
        instance: 'controller-0',
        nonce: () => randomUUID().replaceAll('-', ''),
        onFailure: (error) => failures.push(error.message),
      });
      const account = await cluster.api.create(ServiceAccounts, { metadata: { namespace, name: 'eventful' } });
      const ref = { apiVersion: 'v1', kind: 'ServiceAccount', namespace, name: 'eventful', uid: account.metadata.uid };
      const event = { type: 'Warning', reason: 'PermissionDenied', message: 'é'.repeat(1000) } as const;
      recorder.record(ref, event);
      recorder.record(ref, event);
      recorder.record(ref, event);
      recorder.record({ apiVersion: 'metaveil.dev/v1', kind: 'MetadataProxy', name: 'a.'.repeat(101) + 'a' }, event);
      await recorder.flush();
      assert.deepEqual(failures, []);
      const recorded = await cluster.api.list(events, {
        namespace,
        fieldSelector: `regarding.name=eventful,regarding.uid=${account.metadata.uid}`,
      });
      assert.equal(recorded.length, 1);
      assert.equal(recorded[0]?.series?.count, 3);
      assert.equal(recorded[0].note, 'é'.repeat(512));
      const described = await cluster.kubectl(['-n', namespace, 'get', 'events', '-o', 'wide']);
      assert.match(described.stdout, /Warning\s+PermissionDenied\s+serviceaccount\/eventful/);
    });
  });

  describe('tokens', () => {
    const node = `node-${randomUUID().slice(0, 8)}`;
    const unending = new AbortController().signal;
    let pod: Stored<object>;
    let request: ServiceAccountTokenRequest;

    before(async () => {
      const account = await cluster.api.create(ServiceAccounts, { metadata: { namespace, name: 'workload' } });
      await createNode(cluster, node);
      pod = await cluster.api.create(Pods, {
        metadata: { namespace, name: 'workload' },
        spec: { serviceAccountName: 'workload', containers: [{ name: 'main', image: 'example.invalid/none' }] },
      });
      await bindAndRun(cluster, pod.metadata, { node, podIP: '10.9.8.7' });
      request = {
        namespace,
        serviceAccount: { name: 'workload', uid: account.metadata.uid as ServiceAccountUid },
        audience,
        expirationSeconds: 900,
        boundTo: { kind: 'pod', name: 'workload', uid: pod.metadata.uid as PodUid },
      };
    });

    it('are requested for a pod and reviewed: the review names pod and node', async () => {
      const issued = await new KubeServiceAccountTokens(client).request(request, unending);
      const lifetimeMs = issued.expiresAt - Date.now();
      assert.ok(lifetimeMs > 880_000 && lifetimeMs <= 901_000, `lifetime ${lifetimeMs}`);
      const review = await new KubeTokenReviewer(client).review(issued.token, audience, unending);
      assert.equal(review.kind, 'authenticated');
      const { user } = review;
      assert.equal(user.username, `system:serviceaccount:${namespace}:workload`);
      assert.deepEqual(user.extra['authentication.kubernetes.io/pod-uid'], [pod.metadata.uid]);
      assert.deepEqual(user.extra['authentication.kubernetes.io/node-name'], [node]);
      assert.equal(user.extra['authentication.kubernetes.io/node-uid']?.length, 1);
    });

    it('for another audience, or made up, are rejected', async () => {
      const reviewer = new KubeTokenReviewer(client);
      const { token } = await new KubeServiceAccountTokens(client).request(request, unending);
      assert.deepEqual(await reviewer.review(token, 'metaveil-node-api', unending), { kind: 'rejected' });
      assert.deepEqual(await reviewer.review(`${token}x`, audience, unending), { kind: 'rejected' });
      assert.deepEqual(await reviewer.review('', audience, unending), { kind: 'rejected' });
    });

    it('are not asked of an API server that refuses us: nothing is known of the token then', async () => {
      const powerless = clientOf(await cluster.kubeconfigFor(namespace, 'workload'));
      try {
        const reviewer = new KubeTokenReviewer(powerless);
        assert.deepEqual(await reviewer.review('x', audience, unending), { kind: 'unavailable' });
        const refused = new KubeServiceAccountTokens(powerless).request(request, unending);
        assert.equal(await codeOf(refused), 'kubernetes-refused');
      } finally {
        await powerless.close();
      }
    });

    it('are refused for a pod or ServiceAccount that is gone or another one by now', async () => {
      const tokens = new KubeServiceAccountTokens(client);
      const other = randomUUID();
      const refusals = [
        { ...request, boundTo: { kind: 'pod', name: 'workload', uid: other as PodUid } },
        { ...request, boundTo: { kind: 'pod', name: 'gone', uid: other as PodUid } },
        { ...request, serviceAccount: { name: 'workload', uid: other as ServiceAccountUid } },
        { ...request, serviceAccount: { name: 'gone', uid: other as ServiceAccountUid } },
        { ...request, expirationSeconds: 10 },
      ] as const;
      const codes: (ErrorCode | undefined)[] = [];
      for (const refusal of refusals) codes.push(await codeOf(tokens.request(refusal, unending)));
      assert.deepEqual(codes, [
        'kubernetes-conflict',
        'kubernetes-not-found',
        'kubernetes-conflict',
        'kubernetes-not-found',
        'kubernetes-refused',
      ]);
    });

    it('unbound, verify a binding without pods', async () => {
      const unbound = { ...request, boundTo: { kind: 'unbound' }, expirationSeconds: 600 } as const;
      const { token } = await new KubeServiceAccountTokens(client).request(unbound, unending);
      const review = await new KubeTokenReviewer(client).review(token, audience, unending);
      assert.equal(review.kind, 'authenticated');
      assert.equal(review.user.extra['authentication.kubernetes.io/pod-uid'], undefined);
    });

    it('can be checked by others: issuer and key ids are published', async () => {
      const { issuer, signingKeyIds } = await new KubeIssuerDiscovery(client).discover(unending);
      assert.equal(issuer, cluster.issuer);
      const { token } = await new KubeServiceAccountTokens(client).request(request, unending);
      const header = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { kid: string };
      assert.deepEqual(signingKeyIds, [header.kid]);
    });
  });

  describe("the node API's CA", () => {
    const pem = (name: string) => `-----BEGIN ${name}-----\nAAAA\n-----END ${name}-----\n`;
    const state = (notAfter: number): AuthorityState => ({
      signing: { certificate: pem('CERTIFICATE'), key: pem('PRIVATE KEY'), notBefore: 0, notAfter },
      previous: [],
    });

    it('is kept in a Secret; of two replicas that write at once one has to load again', async () => {
      const place = { namespace, name: 'node-api-ca' };
      const [ours, theirs] = [new SecretAuthorityStore(client, place), new SecretAuthorityStore(client, place)];
      assert.equal(await ours.load(), undefined);
      assert.equal(await ours.save(state(1), undefined), 'saved');
      assert.equal(await theirs.save(state(2), undefined), 'conflict');
      const loaded = await theirs.load();
      assert.deepEqual(loaded?.state, state(1));
      assert.equal(await theirs.save(state(2), loaded.revision), 'saved');
      assert.equal(await ours.save(state(3), loaded.revision), 'conflict');
      assert.deepEqual((await ours.load())?.state, state(2));
    });

    it('replaces a Secret that somebody made useless', async () => {
      const place = { namespace, name: 'spoilt-ca' };
      await cluster.api.create(Secrets, { metadata: place, data: { 'authority.json': 'e30=' } });
      const store = new SecretAuthorityStore(client, place);
      assert.equal(await store.load(), undefined);
      assert.equal(await store.save(state(1), undefined), 'saved');
      assert.deepEqual((await store.load())?.state, state(1));
    });

    it('is published in a ConfigMap, and again without a change', async () => {
      const place = { namespace, name: 'node-api-ca' };
      const bundle = new ConfigMapTrustBundle(client, place);
      await bundle.publish('certificates');
      const first = await cluster.api.get(ConfigMaps, place);
      assert.deepEqual(first.data, { 'ca.crt': 'certificates' });
      await bundle.publish('certificates');
      const second = await cluster.api.get(ConfigMaps, place);
      assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
    });
  });

  it('a kind that is installed later is found later', async () => {
    const discovery = new ApiDiscovery(client, realTimers);
    assert.equal(await discovery.find('example.com/v1', 'Nothing'), undefined);
    const found = await eventually('the CRD is found', () => discovery.find('metaveil.dev/v1', 'MetadataPolicy'));
    assert.deepEqual(found, {
      group: 'metaveil.dev',
      version: 'v1',
      kind: 'MetadataPolicy',
      plural: 'metadatapolicies',
      namespaced: true,
    });
  });
});
