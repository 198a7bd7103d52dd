/** Bindings and providers on a real API server; only Google and the nodes are fakes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { clusterReflections } from '../../operator/adapters/kube/cluster-reflections.ts';
import type { KubeClient } from '../../operator/adapters/kube/client.ts';
import { ApiDiscovery } from '../../operator/adapters/kube/discovery.ts';
import { KubeIssuerDiscovery } from '../../operator/adapters/kube/issuer.ts';
import { Reflector } from '../../operator/adapters/kube/reflector.ts';
import { KubeWriter } from '../../operator/adapters/kube/writer.ts';
import type {
  Condition,
  WorkloadIdentityBindingSpec,
  WorkloadIdentityProviderSpec,
} from '../../operator/api/v1/index.ts';
import { BindingController } from '../../operator/controllers/bindings/controller.ts';
import { Acceptances } from '../../operator/controllers/providers/acceptances.ts';
import { ProviderController } from '../../operator/controllers/providers/controller.ts';
import { ControllerRuntime } from '../../operator/controllers/runtime.ts';
import { ClusterStore } from '../../operator/core/cluster/store.ts';
import { poolProvider } from '../builders/objects.ts';
import type { ClusterAccess } from '../cluster/access.ts';
import { eventually } from '../cluster/eventually.ts';
import { clusterKind, namespacedKind, ServiceAccounts, type Kind } from '../cluster/kinds.ts';
import { sharedCluster } from '../cluster/shared.ts';
import { FakeEvents, FakeProgramming, FakeVerifier } from '../fakes/controllers.ts';
import { clientOf, installKinds, newNamespace, realTimers } from './kube-access.ts';

interface Given<S> {
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: Partial<S>;
  readonly status?: { readonly observedGeneration?: number; readonly conditions?: readonly Condition[] };
}

const Bindings = namespacedKind<Given<WorkloadIdentityBindingSpec>>(
  'metaveil.dev/v1',
  'WorkloadIdentityBinding',
  'workloadidentitybindings',
);
const Providers = clusterKind<Given<WorkloadIdentityProviderSpec>>(
  'metaveil.dev/v1',
  'WorkloadIdentityProvider',
  'workloadidentityproviders',
);

const annotation = 'iam.gke.io/gcp-service-account';
const email = 'api@my-project.iam.gserviceaccount.com';
const suffix = randomBytes(4).toString('hex');
const federation = `federation-${suffix}`;
const gke = `gke-${suffix}`;

/** The controllers with their watches, as one process would run them. */
class Operator {
  readonly verifier = new FakeVerifier();
  readonly events = new FakeEvents();
  readonly failures: unknown[] = [];
  readonly #store = new ClusterStore();
  readonly #abort = new AbortController();
  readonly #runs: Promise<void>[];
  readonly #runtime: ControllerRuntime;

  constructor(client: KubeClient) {
    const silent = { listed: () => undefined, interrupted: () => undefined, unreadable: () => undefined };
    const watching = { transport: client.transport, timers: realTimers, random: Math.random, observer: silent };
    this.#runs = clusterReflections(this.#store).map((each) => new Reflector(each, watching).run(this.#abort.signal));
    const common = {
      cluster: this.#store,
      rules: { ownNamespace: 'metaveil-system', allowInsecureEndpoints: false },
      writer: new KubeWriter({ client, discovery: new ApiDiscovery(client, realTimers), mayWrite: () => true }),
      events: this.events,
      programming: new FakeProgramming(),
      verifier: this.verifier,
      discovery: new KubeIssuerDiscovery(client),
      acceptances: new Acceptances(),
      timers: realTimers,
      clock: realTimers,
      random: Math.random,
    };
    this.#runtime = new ControllerRuntime(
      this.#store,
      [new BindingController(common), new ProviderController(common)],
      { ...common, onFailure: (_controller, _key, error) => this.failures.push(error) },
    );
  }

  async start(): Promise<void> {
    await eventually('every kind has been listed', () => Promise.resolve(this.#store.hasSynced() || undefined));
    this.#runtime.start();
  }

  async stop(): Promise<void> {
    await this.#runtime.stop();
    this.#abort.abort();
    await Promise.all(this.#runs);
  }
}

describe('bindings and providers on a real API server', () => {
  let cluster: ClusterAccess;
  let client: KubeClient;
  let namespace: string;
  let operator: Operator;

  before(async () => {
    cluster = await sharedCluster();
    await installKinds(cluster);
    namespace = await newNamespace(cluster, 'bindings');
    client = clientOf(cluster.kubeconfigPath);
    operator = new Operator(client);
    await operator.start();
    await cluster.api.create(Providers, {
      metadata: { name: federation },
      spec: { type: 'WorkloadIdentityFederation', provider: poolProvider },
    });
    await cluster.api.create(Providers, {
      metadata: { name: gke },
      spec: {
        type: 'GKE',
        gkeWorkloadPool: 'my-project.svc.id.goog',
        gkeCluster: 'projects/my-project/locations/europe-west4/clusters/prod',
      },
    });
  });

  after(async () => {
    await operator.stop();
    await client.close();
  });

  async function ready<S>(kind: Kind<Given<S>>, ref: { readonly name: string; readonly namespace?: string }) {
    return eventually(`Ready of ${ref.name} is True for its generation`, async () => {
      const object = await cluster.api.get(kind, ref);
      const [first] = object.status?.conditions ?? [];
      const isDone = first?.status === 'True' && first.observedGeneration === object.metadata.generation;
      return isDone ? object : undefined;
    });
  }

  async function bind(name: string, providerName: string): Promise<void> {
    await cluster.api.create(ServiceAccounts, { metadata: { namespace, name } });
    await cluster.api.create(Bindings, {
      metadata: { namespace, name },
      spec: { serviceAccountName: name, googleServiceAccount: email, providerName },
    });
  }

  it('get Ready, with a status that is all ours', async () => {
    await bind('api', federation);
    const { status, metadata } = await ready(Bindings, { namespace, name: 'api' });
    assert.deepEqual(
      status?.conditions?.map(({ type }) => type),
      ['Ready', 'Accepted', 'Programmed', 'CredentialsVerified'],
    );
    const managers = metadata.managedFields?.map(({ manager, operation }) => `${manager ?? ''} ${operation ?? ''}`);
    assert.ok(managers?.includes('metaveil-controller Apply'));
    const provider = await cluster.api.get(Providers, { name: federation });
    assert.match(JSON.stringify(provider.status), /"issuer":"https:.*"signingKeyIds":\["/);
  });

  it('write nothing when nothing changed: not by themselves, not after a restart', async () => {
    await bind('quiet', federation);
    await bind('quiet-gke', gke);
    const names = ['quiet', 'quiet-gke'];
    const versions = async () => {
      const objects = await Promise.all([
        ...names.map((name) => cluster.api.get(Bindings, { namespace, name })),
        ...names.map((name) => cluster.api.get(ServiceAccounts, { namespace, name })),
        cluster.api.get(Providers, { name: federation }),
        cluster.api.get(Providers, { name: gke }),
      ]);
      return objects.map(({ metadata }) => metadata.resourceVersion);
    };
    for (const name of names) await ready(Bindings, { namespace, name });
    await ready(Providers, { name: federation });
    // The time of the first accepted token arrives after Ready.
    await eventually('Google accepted a token', async () => {
      const { status } = await cluster.api.get(Providers, { name: federation });
      return JSON.stringify(status).includes('lastAcceptedTime') || undefined;
    });
    const before = await versions();
    await operator.stop();
    operator = new Operator(client);
    await operator.start();
    await bind('later', federation);
    await ready(Bindings, { namespace, name: 'later' });
    assert.deepEqual(await versions(), before);
    assert.deepEqual(operator.failures, []);
  });

  it('take Ready back first on a new generation, as whoever watches can see', async () => {
    await bind('changing', federation);
    await ready(Bindings, { namespace, name: 'changing' });
    const seen: string[] = [];
    const abort = new AbortController();
    const watching = (async () => {
      const selection = { namespace, fieldSelector: 'metadata.name=changing' };
      for await (const { object } of cluster.api.watch(Bindings, selection, abort.signal)) {
        const [first] = object.status?.conditions ?? [];
        if (object.metadata.generation === 2) seen.push(`${first?.status ?? ''} ${String(first?.observedGeneration)}`);
        if (seen.at(-1) === 'True 2') return;
      }
    })();
    await cluster.api.patch(Bindings, { namespace, name: 'changing' }, { spec: { tokenLifetimeSeconds: 1200 } });
    await watching;
    abort.abort();
    assert.equal(seen[0], 'True 1', 'the change itself');
    assert.equal(seen[1], 'Unknown 2');
    assert.ok(!seen.slice(1).includes('True 1'));
  });

  it('write the annotation on GKE and take it away with the binding, and nothing else', async () => {
    await bind('on-gke', gke);
    await cluster.api.patch(
      ServiceAccounts,
      { namespace, name: 'on-gke' },
      { metadata: { annotations: { theirs: 'stays' } } },
    );
    await ready(Bindings, { namespace, name: 'on-gke' });
    const bound = await cluster.api.get(ServiceAccounts, { namespace, name: 'on-gke' });
    assert.deepEqual(bound.metadata.annotations, { [annotation]: email, theirs: 'stays' });
    await cluster.api.delete(Bindings, { namespace, name: 'on-gke' });
    const unbound = await eventually('the annotation is gone', async () => {
      const account = await cluster.api.get(ServiceAccounts, { namespace, name: 'on-gke' });
      return account.metadata.annotations?.[annotation] === undefined ? account : undefined;
    });
    assert.deepEqual(unbound.metadata.annotations, { theirs: 'stays' });
  });

  it("report somebody else's annotation instead of overwriting it, and leave it when the binding goes", async () => {
    const theirs = { metadata: { namespace, name: 'taken', annotations: { [annotation]: 'theirs@x.example' } } };
    await cluster.api.apply(ServiceAccounts, theirs, { fieldManager: 'terraform' });
    await cluster.api.create(Bindings, {
      metadata: { namespace, name: 'taken' },
      spec: { serviceAccountName: 'taken', googleServiceAccount: email, providerName: gke },
    });
    const message = await eventually('the conflict is reported', async () => {
      const { status } = await cluster.api.get(Bindings, { namespace, name: 'taken' });
      return status?.conditions?.find(({ reason }) => reason === 'AnnotationConflict')?.message;
    });
    assert.match(message, /terraform/);
    await cluster.api.delete(Bindings, { namespace, name: 'taken' });
    await bind('after-taken', gke);
    await ready(Bindings, { namespace, name: 'after-taken' });
    const account = await cluster.api.get(ServiceAccounts, { namespace, name: 'taken' });
    assert.equal(account.metadata.annotations?.[annotation], 'theirs@x.example');
  });
});
