/** `config/`: what a person applies, what the API server makes of it, and what it gives to whom. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PodSpec, Pod } from 'kubernetes-types/core/v1.js';
import { isApiError } from '../../cluster/api.ts';
import { startCluster, type Cluster } from '../../cluster/cluster.ts';
import { eventually } from '../../cluster/eventually.ts';
import { clusterKind, Deployments, Namespaces } from '../../cluster/kinds.ts';
import { kubectlOk } from '../installation.ts';
import { systemNamespace } from './product.ts';

const config = fileURLToPath(new URL('../../../config/', import.meta.url));

let cluster: Cluster;

/** Without the kinds, as a cluster is before anybody installs Metaveil. */
before(async () => {
  cluster = await startCluster();
});

after(() => cluster.stop());

describe('kubectl apply -k config/default', () => {
  const install = ['-k', `${config}default`];

  /** `kubectl get`, because `apply` calls a PodDisruptionBudget configured even when it sent what is there already. */
  async function versions(): Promise<string> {
    return kubectlOk(cluster, [
      'get',
      ...install,
      '-o',
      'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.generation} {end}',
    ]);
  }

  it('installs on a fresh cluster, and changes nothing the second time', async () => {
    const first = (await kubectlOk(cluster, ['apply', ...install])).trim().split('\n');
    assert.ok(first.length >= 19, first.join('\n'));
    assert.deepEqual(
      first.filter((line) => !line.endsWith(' created')),
      [],
    );
    await kubectlOk(cluster, ['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
    const installed = await versions();
    const second = (await kubectlOk(cluster, ['apply', ...install])).trim().split('\n');
    assert.equal(second.length, first.length);
    assert.deepEqual(
      second.filter((line) => line.endsWith(' created')),
      [],
    );
    assert.equal(await versions(), installed);
  });

  it('makes two replicas wait for a node', async () => {
    await eventually('the Deployment has its replicas', async () => {
      const { status } = await cluster.api.get(Deployments, {
        namespace: systemNamespace,
        name: 'metaveil-controller',
      });
      return status?.replicas === 2 ? status : undefined;
    });
  });
});

/** The fields of the Prometheus operator's kind that we use: its own definition is not at hand. */
const serviceMonitors = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'servicemonitors.monitoring.coreos.com' },
  spec: {
    group: 'monitoring.coreos.com',
    scope: 'Namespaced',
    names: { kind: 'ServiceMonitor', plural: 'servicemonitors', singular: 'servicemonitor' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: serviceMonitorSchema() } }],
  },
};

function serviceMonitorSchema() {
  const string = { type: 'string' };
  const matchLabels = { type: 'object', additionalProperties: string };
  const endpoint = { type: 'object', properties: { port: string, interval: string } };
  const selector = { type: 'object', properties: { matchLabels } };
  const spec = { type: 'object', properties: { selector, endpoints: { type: 'array', items: endpoint } } };
  return { type: 'object', properties: { spec } };
}

describe('config/', () => {
  before(async () => {
    await kubectlOk(cluster, ['apply', '-f', '-'], JSON.stringify(serviceMonitors));
    const name = `crd/${serviceMonitors.metadata.name}`;
    await kubectlOk(cluster, ['wait', '--for=condition=Established', name, '--timeout=30s']);
  });

  const folders = readdirSync(config, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const kustomized = folders
    .map(({ name }) => name)
    .filter((name) => readdirSync(config + name).includes('kustomization.yaml'));

  it('has the parts that the README names', () => {
    const named = [
      'admission',
      'crd',
      'default',
      'gke',
      'instances',
      'manager',
      'prometheus',
      'rbac',
      'startup-taint',
      'sts-audience',
    ];
    assert.deepEqual(
      named.filter((name) => !kustomized.includes(name)),
      [],
    );
  });

  for (const name of kustomized) {
    it(`${name} is valid to the API server, and names no field it does not know`, async () => {
      const args = ['apply', '--dry-run=server', '--validate=strict', '-k', config + name];
      assert.match(await kubectlOk(cluster, args), /\(server dry run\)/);
    });
  }

  it('instances are taken as shipped', async () => {
    await kubectlOk(cluster, ['apply', '-k', `${config}instances`]);
    const names = await kubectlOk(cluster, ['get', 'metadataproxies,clustermetadatapolicies', '-o', 'name']);
    assert.deepEqual(names.trim().split('\n').sort(), [
      'clustermetadatapolicy.metaveil.dev/system',
      'metadataproxy.metaveil.dev/default',
    ]);
  });
});

interface AdmissionPolicy {
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly typeChecking?: { readonly expressionWarnings?: readonly { readonly warning: string }[] };
  };
}

const AdmissionPolicies = clusterKind<AdmissionPolicy>(
  'admissionregistration.k8s.io/v1',
  'ValidatingAdmissionPolicy',
  'validatingadmissionpolicies',
);

describe('the admission policies', () => {
  it('have no expression that the API server warns of', async () => {
    await kubectlOk(cluster, ['apply', '-k', `${config}sts-audience`]);
    const checked = await eventually('the API server has checked the types of all expressions', async () => {
      const policies = await cluster.api.list(AdmissionPolicies);
      return policies.every(({ status }) => status?.observedGeneration === 1) ? policies : undefined;
    });
    assert.deepEqual(
      checked.map(({ metadata }) => metadata.name),
      ['metaveil-sts-audience', 'metaveil-sts-audience-volumes', 'metaveil-token-request'],
    );
    const warnings = checked.flatMap(({ status }) => status?.typeChecking?.expressionWarnings ?? []);
    assert.deepEqual(
      warnings.map(({ warning }) => warning),
      [],
    );
    await kubectlOk(cluster, ['delete', '-k', `${config}sts-audience`]);
  });
});

describe("the controller's pods", () => {
  const namespace = 'restricted';

  async function dryRun(spec: PodSpec): Promise<unknown> {
    const body: Pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'controller', namespace },
      // There is no ServiceAccount of that name here, and it makes no difference.
      spec: { ...spec, serviceAccountName: 'default' },
    };
    return cluster.api.send({ method: 'POST', path: `/api/v1/namespaces/${namespace}/pods?dryRun=All`, body });
  }

  before(async () => {
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await cluster.api.create(Namespaces, { metadata: { name: namespace, labels } });
    await kubectlOk(cluster, ['wait', '--for=create', 'serviceaccount/default', '-n', namespace, '--timeout=20s']);
  });

  it('meet the Pod Security Standard restricted', async () => {
    const found = await cluster.api.get(Deployments, { namespace: systemNamespace, name: 'metaveil-controller' });
    const spec = found.spec?.template.spec;
    assert.ok(spec);
    await dryRun(spec);
    // Shows that this namespace does refuse.
    const lax = {
      ...spec,
      securityContext: {},
      containers: spec.containers.map((container) => ({ ...container, securityContext: {} })),
    };
    await assert.rejects(
      dryRun(lax),
      (error) => isApiError(error, 403) && error.message.includes('PodSecurity "restricted'),
    );
  });
});

describe('who may do what', () => {
  const controller = 'system:serviceaccount:metaveil-system:metaveil-controller';

  async function canI(account: string, question: readonly string[]): Promise<string> {
    const [, , namespace = ''] = account.split(':');
    const groups = ['system:authenticated', 'system:serviceaccounts', `system:serviceaccounts:${namespace}`];
    const as = [`--as=${account}`, ...groups.map((group) => `--as-group=${group}`)];
    const { stdout, stderr } = await cluster.kubectl(['auth', 'can-i', ...question, ...as]);
    assert.match(stdout, /\S/, stderr);
    return stdout.trim();
  }

  const forbidden: readonly string[] = [
    'get secrets -n default',
    'list secrets -n kube-system',
    'list secrets -n metaveil-system',
    'get secrets/other -n metaveil-system',
    'watch secrets -A',
    'create pods -n default',
    'create pods -n metaveil-system',
    'create pods/exec -n default',
    'create pods/ephemeralcontainers -n metaveil-system',
    'patch pods -n metaveil-system',
    'delete pods -n default',
    'patch pods/status -n default',
    'create deployments.apps -n default',
    'patch daemonsets.apps -n kube-system',
    'patch configmaps -n kube-system',
    'patch configmaps/other -n metaveil-system',
    'patch serviceaccounts/metaveil-controller -n metaveil-system',
    'patch serviceaccounts -n default',
    'patch nodes',
    'delete nodes',
    'get nodes/proxy',
    'create clusterroles.rbac.authorization.k8s.io',
    'bind clusterroles.rbac.authorization.k8s.io',
    'escalate clusterroles.rbac.authorization.k8s.io',
    'bind roles.rbac.authorization.k8s.io -n metaveil-system',
    'create rolebindings.rbac.authorization.k8s.io -n metaveil-system',
    'create clusterrolebindings.rbac.authorization.k8s.io',
    'impersonate users',
    'impersonate serviceaccounts -n kube-system',
    'patch validatingadmissionpolicies.admissionregistration.k8s.io',
    'create certificatesigningrequests.certificates.k8s.io',
    'patch customresourcedefinitions.apiextensions.k8s.io',
    'patch workloadidentitybindings.metaveil.dev -n default',
    'create workloadidentitybindings.metaveil.dev -n default',
    'delete metadatapolicies.metaveil.dev -n default',
    'patch clustermetadatapolicies.metaveil.dev',
  ];
  for (const question of forbidden) {
    it(`the controller may not ${question}`, async () => {
      assert.equal(await canI(controller, question.split(' ')), 'no');
    });
  }

  it('the controller may what its optional parts add, and only once they are applied', async () => {
    const optional = { 'startup-taint': 'patch nodes', gke: 'patch serviceaccounts -n default' };
    for (const [part, question] of Object.entries(optional)) {
      assert.equal(await canI(controller, question.split(' ')), 'no', part);
      await kubectlOk(cluster, ['apply', '-k', config + part]);
      await eventually(`${part} has taken hold`, async () =>
        (await canI(controller, question.split(' '))) === 'yes' ? true : undefined,
      );
    }
    // It reads a node before it patches away the one taint.
    assert.equal(await canI(controller, ['get', 'nodes']), 'yes');
  });

  it('the proxy has no right that any other ServiceAccount does not have', async () => {
    for (const namespace of ['default', systemNamespace, 'kube-system']) {
      const asked = ['--list', '-n', namespace];
      const proxy = await canI('system:serviceaccount:metaveil-system:metaveil-proxy', asked);
      assert.equal(proxy, await canI('system:serviceaccount:metaveil-system:nobody', asked));
      assert.doesNotMatch(proxy, /secrets|pods|nodes|serviceaccounts|metaveil/);
    }
  });

  it('who may view a namespace sees bindings; only its admin writes them', async () => {
    await kubectlOk(cluster, ['create', 'rolebinding', 'alice', '--clusterrole=edit', '--user=alice', '-n', 'default']);
    await kubectlOk(cluster, ['create', 'rolebinding', 'bob', '--clusterrole=admin', '--user=bob', '-n', 'default']);
    const ask = async (user: string, verb: string) => {
      const args = ['auth', 'can-i', verb, 'workloadidentitybindings.metaveil.dev', '-n', 'default', `--as=${user}`];
      return (await cluster.kubectl(args)).stdout.trim();
    };
    await eventually('the roles are aggregated', async () =>
      (await ask('bob', 'create')) === 'yes' ? true : undefined,
    );
    assert.deepEqual(
      [await ask('alice', 'list'), await ask('alice', 'create'), await ask('alice', 'patch')],
      ['yes', 'no', 'no'],
    );
  });
});
