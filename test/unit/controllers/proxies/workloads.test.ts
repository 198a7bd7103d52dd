import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { MetadataProxySpec } from '../../../../operator/api/v1/index.ts';
import type { AppliedObject } from '../../../../operator/controllers/ports.ts';
import { ClusterProxyPods } from '../../../../operator/controllers/lookup/proxy-pods.ts';
import { labelValue } from '../../../../operator/controllers/labels.ts';
import { daemonSet, deployment, serviceAccount } from '../../../../operator/controllers/proxies/workloads.ts';
import { startupTaintKey } from '../../../../operator/core/names.ts';
import { metadataProxy, node, pod, storeOf } from '../../../builders/objects.ts';
import { installation, sha256 } from './harness.ts';

const context = { installation, hash: sha256 };

interface Container {
  readonly name: string;
  readonly ports?: unknown;
  readonly volumeMounts: readonly { readonly name: string }[];
  readonly securityContext: Readonly<Record<string, unknown>>;
}

interface Template {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: Readonly<Record<string, unknown>> & {
    readonly containers: readonly Container[];
    readonly volumes: readonly Readonly<Record<string, unknown>>[];
    readonly tolerations: readonly object[];
  };
}

interface WorkloadSpec {
  readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
  readonly template: Template;
}

const specOf = (object: AppliedObject) => object['spec'] as WorkloadSpec;
const forms = {
  DaemonSet: (spec: Partial<MetadataProxySpec> = {}, name = 'default') =>
    daemonSet(metadataProxy({ name, spec }), context),
  Deployment: (spec: Partial<MetadataProxySpec> = {}, name = 'default') =>
    deployment(metadataProxy({ name, spec }), node(), context),
};

describe('the pods of a proxy', () => {
  for (const [form, make] of Object.entries(forms)) {
    const { template } = specOf(make());
    const [proxy, intercept] = template.spec.containers;

    it(`of a ${form} declare no port: it would become a hostPort and block the second instance`, () => {
      assert.doesNotMatch(JSON.stringify(template), /containerPort|hostPort/);
      assert.equal(template.spec['hostNetwork'], true);
    });

    it(`of a ${form} give the proxy no capability, no root and no writable file system`, () => {
      assert.deepEqual(proxy?.securityContext, {
        runAsNonRoot: true,
        runAsUser: 65532,
        runAsGroup: 65532,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    });

    it(`of a ${form} give intercept NET_ADMIN and nothing else, no token least of all`, () => {
      assert.deepEqual(intercept?.securityContext['capabilities'], { drop: ['ALL'], add: ['NET_ADMIN'] });
      assert.equal(intercept.securityContext['readOnlyRootFilesystem'], true);
      assert.equal(intercept.securityContext['allowPrivilegeEscalation'], false);
      assert.deepEqual(
        intercept.volumeMounts.map(({ name }) => name),
        ['intercept'],
      );
    });

    it(`of a ${form} get one token, for the node API only`, () => {
      assert.equal(template.spec['automountServiceAccountToken'], false);
      const projected = template.spec.volumes.filter((volume) => 'projected' in volume);
      assert.deepEqual(projected, [
        {
          name: 'node-api-token',
          projected: {
            sources: [
              { serviceAccountToken: { audience: 'metaveil-node-api', expirationSeconds: 3600, path: 'token' } },
            ],
          },
        },
      ]);
      assert.doesNotMatch(JSON.stringify(template.spec.volumes), /hostPath|secret/i);
    });

    it(`of a ${form} are Ready when the controller says so, and on Linux only`, () => {
      assert.deepEqual(template.spec['readinessGates'], [{ conditionType: 'metaveil.dev/serving' }]);
      const selector = specOf(make({ nodeSelector: { pool: 'web' } })).template.spec['nodeSelector'];
      assert.deepEqual(selector, { pool: 'web', 'kubernetes.io/os': 'linux' });
      assert.equal(template.spec['nodeName'], undefined);
    });

    it(`of a ${form} have no intercept where nothing is redirected in the kernel`, () => {
      const { containers } = specOf(make({ interception: 'None' })).template.spec;
      assert.deepEqual(
        containers.map(({ name }) => name),
        ['proxy'],
      );
    });

    it(`of a ${form} get past the startup taint that only they can have removed`, () => {
      const tolerations = [{ key: 'dedicated', operator: 'Exists' as const }];
      const tolerated = (spec: Partial<MetadataProxySpec>) =>
        JSON.stringify(specOf(make(spec)).template.spec.tolerations).includes(startupTaintKey);
      assert.equal(tolerated({ tolerations, removeStartupTaint: true }), true);
      assert.equal(tolerated({ tolerations, removeStartupTaint: false }), false);
      assert.deepEqual(specOf(make()).template.spec.tolerations[0], { operator: 'Exists' });
    });

    it(`of a ${form} keep the controller's labels whatever podLabels say`, () => {
      const { matchLabels } = specOf(make()).selector;
      const keys = [
        ...Object.keys(matchLabels),
        'metaveil.dev/owner-kind',
        'metaveil.dev/node',
        'metaveil.dev/serving',
        'app.kubernetes.io/managed-by',
      ];
      const podLabels = { team: 'platform', ...Object.fromEntries(keys.map((key) => [key, 'mine'])) };
      const spec = specOf(make({ podLabels }));
      assert.deepEqual(spec.selector.matchLabels, matchLabels);
      assert.deepEqual(spec.template.metadata.labels, { team: 'platform', ...matchLabels });
    });

    it(`of a ${form} are those the node API takes for ours`, () => {
      for (const name of ['default', 'a.b', `p${'x'.repeat(62)}`, `long.${'y'.repeat(200)}`]) {
        const made = specOf(make({}, name)).template;
        const subject = pod({
          namespace: installation.namespace,
          labels: made.metadata.labels,
          serviceAccountName: made.spec['serviceAccountName'] as string,
          ownerKind: form === 'DaemonSet' ? 'DaemonSet' : 'ReplicaSet',
        });
        const known = storeOf(node(), metadataProxy({ name }), subject);
        const options = { ownNamespace: installation.namespace, hash: sha256 };
        assert.equal(new ClusterProxyPods(known, options).find(subject.uid)?.nodeName, 'node-a');
        const others = storeOf(node(), metadataProxy({ name: `${name}x` }), subject);
        assert.equal(new ClusterProxyPods(others, options).find(subject.uid), undefined);
      }
    });
  }
});

describe('a DaemonSet', () => {
  it('brings the new instance before it takes the old one', () => {
    const strategy = (maxUnavailable: string) =>
      forms.DaemonSet({ maxUnavailable })['spec'] as object as {
        readonly updateStrategy: { readonly rollingUpdate: unknown };
      };
    assert.deepEqual(strategy('3').updateStrategy.rollingUpdate, { maxSurge: 3, maxUnavailable: 0 });
    assert.deepEqual(strategy('10%').updateStrategy.rollingUpdate, { maxSurge: '10%', maxUnavailable: 0 });
  });
});

describe('a Deployment', () => {
  it('is bound to its node by affinity, tolerates what a DaemonSet does, and holds up no scale-down', () => {
    const { spec, metadata } = specOf(forms.Deployment()).template as Template & {
      readonly metadata: { readonly annotations: unknown };
    };
    assert.deepEqual(spec['affinity'], {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['node-a'] }] }],
        },
      },
    });
    assert.match(JSON.stringify(spec.tolerations), /node\.kubernetes\.io\/unschedulable/);
    assert.deepEqual(metadata.annotations, { 'cluster-autoscaler.kubernetes.io/daemonset-pod': 'true' });
  });

  it('names a template by its content', () => {
    const hashOf = (object: AppliedObject) => object.metadata.annotations?.['metaveil.dev/template-hash'];
    assert.equal(hashOf(forms.Deployment()), hashOf(forms.Deployment()));
    assert.notEqual(hashOf(forms.Deployment()), hashOf(forms.Deployment({ image: 'other' })));
    assert.notEqual(hashOf(forms.DaemonSet()), hashOf(forms.DaemonSet({ resources: { limits: { memory: '1Gi' } } })));
  });
});

describe('the ServiceAccount', () => {
  it('mounts no token into anything', () => {
    assert.equal(serviceAccount(installation)['automountServiceAccountToken'], false);
  });
});

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
/** Names as Kubernetes allows them for nodes: up to 253 characters, with dots. */
const subdomain = fc.array(label, { minLength: 1, maxLength: 8 }).map((labels) =>
  labels
    .join('.')
    .slice(0, 253)
    .replace(/[.-]+$/, ''),
);

describe('any names of MetadataProxy and Node', () => {
  const isLabelValue = (text: string) => text.length <= 63 && /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(text);

  it('give valid object names and label values', () => {
    fc.assert(
      fc.property(subdomain, subdomain, (proxyName, nodeName) => {
        const proxy = metadataProxy({ name: proxyName });
        for (const made of [daemonSet(proxy, context), deployment(proxy, node({ name: nodeName }), context)]) {
          assert.match(made.metadata.name, /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
          const { labels } = specOf(made).template.metadata;
          for (const value of [...Object.values(made.metadata.labels ?? {}), ...Object.values(labels)]) {
            assert.ok(isLabelValue(value), value);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('give different ones for different names', () => {
    fc.assert(
      fc.property(subdomain, subdomain, subdomain, (first, second, nodeName) => {
        fc.pre(first !== second);
        const on = (proxy: string, name: string) =>
          deployment(metadataProxy({ name: proxy }), node({ name }), context).metadata.name;
        assert.notEqual(on('p', first), on('p', second));
        assert.notEqual(on(first, nodeName), on(second, nodeName));
        assert.notEqual(labelValue(first, sha256), labelValue(second, sha256));
        const [a, b] = [first, second].map((name) => daemonSet(metadataProxy({ name }), context).metadata.name);
        assert.notEqual(a, b);
      }),
      { numRuns: 500 },
    );
    const long = 'n'.repeat(252);
    assert.notEqual(labelValue(`${long}a`, sha256), labelValue(`${long}b`, sha256));
  });
});
