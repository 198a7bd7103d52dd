/** The definitions, as a user with kubectl meets them on a fresh cluster. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileSamples } from '../../../operator/adapters/files/load.ts';
import { kinds, pendingStatusOf, type KindDefinition } from './expectations.ts';
import { startCluster, type Cluster } from '../../cluster/cluster.ts';
import { namespacedKind } from '../../cluster/kinds.ts';

const WorkloadIdentityBindings = namespacedKind<object>(
  'metaveil.dev/v1',
  'WorkloadIdentityBinding',
  'workloadidentitybindings',
);
const namespace = 'metaveil-samples';
let cluster: Cluster;

async function kubectl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cluster.kubectl(args);
  assert.equal(code, 0, stderr);
  return stdout;
}

before(async () => {
  cluster = await startCluster();
  await kubectl('apply', '--server-side', '-k', 'crds');
  await kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s');
});

after(async () => {
  await cluster.stop();
});

describe('installing the definitions', () => {
  it('again changes nothing', async () => {
    const versions = () => kubectl('get', 'crd', '-o', 'jsonpath={.items[*].metadata.resourceVersion}');
    const before = await versions();
    await kubectl('apply', '--server-side', '-k', 'crds');
    assert.equal(await versions(), before);
  });

  it('lists them with short name, scope and category', async () => {
    const resources = await kubectl('api-resources', '--api-group=metaveil.dev', '--categories=metaveil', '--no-headers');
    const rows = resources.trim().split('\n').map((line) => line.split(/\s+/));
    const expected = kinds.map((kind) => [
      kind.plural,
      kind.shortName,
      'metaveil.dev/v1',
      String(kind.scope === 'Namespaced'),
      kind.kind,
    ]);
    assert.deepEqual(rows, expected.sort(([one = ''], [other = '']) => (one < other ? -1 : 1)));
  });
});

describe('kubectl apply -f samples/', () => {
  it('accepts every object in one go on a cluster that has only the definitions', async () => {
    const output = await kubectl('apply', '-f', 'samples/');
    const loaded = await fileSamples.load('samples');
    assert.equal(loaded.kind, 'loaded');
    const objects = loaded.samples.resources.length + loaded.samples.others.length;
    assert.equal(output.trim().split('\n').length, objects);
    assert.ok(output.trim().split('\n').every((line) => line.endsWith(' created')), output);
  });

  it('again changes nothing', async () => {
    const output = await kubectl('apply', '-f', 'samples/');
    assert.deepEqual(
      output.trim().split('\n').filter((line) => !line.endsWith(' unchanged')),
      [],
    );
  });

  it('server-side, by another manager, conflicts with nothing and changes no generation', async () => {
    const generations = () =>
      kubectl('get', 'metaveil', '-A', '-o', 'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation};{end}');
    const before = await generations();
    await kubectl('apply', '--server-side', '--field-manager=gitops', '-f', 'samples/');
    assert.equal(await generations(), before);
  });
});

describe('samples/invalid', () => {
  for (const name of readdirSync('samples/invalid')) {
    it(`${name} is refused with the message beside it`, async () => {
      const file = join('samples/invalid', name);
      const { code, stderr } = await cluster.kubectl(['apply', '-f', file]);
      assert.equal(code, 1);
      const expected = expectedMessages(readFileSync(file, 'utf8'));
      assert.ok(expected.length > 0, 'the file names no message');
      for (const message of expected) assert.ok(stderr.includes(message), `${stderr} lacks: ${message}`);
    });
  }
});

function expectedMessages(text: string): readonly string[] {
  const [, refusal = ''] = text.split('# Refused by the API server:\n');
  const lines = refusal.split('\n');
  return lines.slice(0, lines.findIndex((line) => !line.startsWith('#'))).map((line) => line.replace(/^#\s+/, ''));
}

describe('a new object', () => {
  it('has the pending status, whatever status its author wrote', async () => {
    const object = {
      metadata: { name: 'fresh', namespace },
      spec: { serviceAccountName: 'fresh', access: 'Direct' },
      status: { observedGeneration: 7, conditions: [], workloads: 9 },
    };
    const created = (await cluster.api.create(WorkloadIdentityBindings, object)) as { status?: unknown };
    assert.deepEqual(created.status, pendingStatusOf('WorkloadIdentityBinding'));
    const read = (await cluster.api.get(WorkloadIdentityBindings, { name: 'fresh', namespace })) as { status?: unknown };
    assert.deepEqual(read.status, created.status);
  });

  it('is not ready for kubectl wait', async () => {
    const { code, stderr } = await cluster.kubectl([
      ...['wait', '--for=condition=Ready', 'wib/reports', '-n', namespace, '--timeout=1s'],
    ]);
    assert.equal(code, 1);
    assert.match(stderr, /timed out waiting for the condition/);
  });
});

describe('what must not change', () => {
  it('serviceAccountName, also together with the name it would need', async () => {
    const patch = '{"spec":{"serviceAccountName":"other"}}';
    const { code, stderr } = await cluster.kubectl(['patch', 'wib', 'reports', '-n', namespace, '--type=merge', '-p', patch]);
    assert.equal(code, 1);
    assert.match(stderr, /serviceAccountName is immutable; create another binding instead/);
    assert.match(stderr, /metadata.name must equal spec.serviceAccountName/);
  });

  it('type of a provider', async () => {
    const patch =
      '{"spec":{"type":"WorkloadIdentityFederation","gkeWorkloadPool":null,"gkeCluster":null,"provider":"projects/1/locations/global/workloadIdentityPools/pool/providers/cluster"}}';
    const { code, stderr } = await cluster.kubectl(['patch', 'wip', 'gke', '--type=merge', '-p', patch]);
    assert.equal(code, 1);
    assert.match(stderr, /type is immutable; create another provider instead/);
  });

  it('a required field may not be removed', async () => {
    const patch = '{"spec":{"serviceAccountName":null}}';
    const { code, stderr } = await cluster.kubectl(['patch', 'wib', 'reports', '-n', namespace, '--type=merge', '-p', patch]);
    assert.equal(code, 1);
    assert.match(stderr, /spec.serviceAccountName: Required value/);
  });

  it('everything else may', async () => {
    const patch = '{"spec":{"access":"Direct","googleServiceAccount":null,"suspend":true}}';
    await kubectl('patch', 'wib', 'reports', '-n', namespace, '--type=merge', '-p', patch, '--dry-run=server');
  });
});

const reported = {
  observedGeneration: 1,
  conditions: [
    {
      type: 'Ready',
      status: 'True',
      reason: 'Ready',
      message: 'Everything this object asks for is in effect.',
      lastTransitionTime: '2026-11-21T00:00:00Z',
      observedGeneration: 1,
    },
  ],
};

describe('status as the controller writes it', () => {
  it('is accepted, and makes the object ready for kubectl wait and its columns full', async () => {
    const status = {
      ...reported,
      principal: 'principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/metaveil/subject/s',
      nodes: { desired: 12, programmed: 12, summary: '12/12' },
      workloads: 30,
    };
    await kubectl('patch', 'wib', 'pipeline', '-n', namespace, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status }));
    await kubectl('wait', '--for=condition=Ready', 'wib/pipeline', '-n', namespace, '--timeout=5s');
    const [head = '', row = ''] = (await kubectl('get', 'wib', 'pipeline', '-n', namespace)).split('\n');
    assert.deepEqual(head.split(/\s+/).filter(Boolean), ['NAME', 'READY', 'REASON', 'GOOGLE-SERVICE-ACCOUNT', 'NODES', 'AGE']);
    assert.match(row, /^pipeline\s+True\s+Ready\s+pipeline@my-project\.iam\.gserviceaccount\.com\s+12\/12\s+\d+s/);
    const wide = await kubectl('get', 'wib', 'pipeline', '-n', namespace, '-o', 'wide');
    assert.match(wide, /Impersonate\s+default\s+30\s+principal:\/\//);
  });

  it('does not touch spec, nor does a change of spec touch it', async () => {
    const patch = JSON.stringify({ spec: { suspend: true }, status: { workloads: 31 } });
    await kubectl('patch', 'wib', 'pipeline', '-n', namespace, '--subresource=status', '--type=merge', '-p', patch);
    const read = await kubectl('get', 'wib', 'pipeline', '-n', namespace, '-o', 'jsonpath={.spec.suspend} {.status.workloads} {.metadata.generation}');
    assert.equal(read, 'false 31 1');
  });

  it('refuses two conditions of one type and a condition without reason', async () => {
    const [ready] = reported.conditions;
    for (const conditions of [[ready, ready], [{ ...ready, reason: undefined }]]) {
      const patch = JSON.stringify({ status: { conditions } });
      const { code } = await cluster.kubectl([
        ...['patch', 'mdp', 'hide-secrets', '-n', namespace, '--subresource=status', '--type=merge', '-p', patch],
      ]);
      assert.equal(code, 1);
    }
  });

  it('of policies, providers and proxies too', async () => {
    const nodes = { desired: 2, programmed: 1, summary: '1/2' };
    const counters = { countersSince: '2026-11-21T00:00:00Z', concealed: 3, wouldConceal: 4, legacy: 5 };
    const patches: readonly (readonly [string, object, RegExp])[] = [
      ['mdp/hide-secrets', { nodes, workloads: 6, ...counters }, /True\s+Ready\s+Enforce\s+6\s+1\/2\s+\d+s\s+3\s+4/],
      ['cmdp/gke-secure', { nodes, workloads: 6, ...counters }, /Enforce\s+Privileged\s+6\s+1\/2/],
      ['mdproxy/web', { nodes }, /True\s+Ready\s+Enforce\s+Baseline\s+1\/2\s+\d+s\s+NFTables\s+DaemonSet/],
      ['wip/default', { issuer: 'https://issuer.example.com', signingKeyIds: ['a'], lastAcceptedTime: '2026-11-21T00:00:00Z' }, /WorkloadIdentityFederation\s+\d+s\s+projects\/\S+\s+https:\/\/issuer/],
    ];
    for (const [object, more, row] of patches) {
      const patch = JSON.stringify({ status: { ...reported, ...more } });
      await kubectl('patch', object, '-n', namespace, '--subresource=status', '--type=merge', '-p', patch);
      assert.match(await kubectl('get', object, '-n', namespace, '-o', 'wide'), row);
    }
  });
});

describe('kubectl get', () => {
  it('metaveil lists the objects of all kinds', async () => {
    const names = await kubectl('get', 'metaveil', '-A', '-o', 'name');
    for (const kind of kinds) assert.match(names, new RegExp(`^${kind.singular}\\.metaveil\\.dev/`, 'm'));
  });

  for (const kind of kinds) {
    it(`${kind.shortName} shows the columns of ${kind.kind}`, async () => {
      const shown = async (...args: string[]) =>
        ((await kubectl('get', kind.shortName, '-A', ...args)).split('\n')[0] ?? '').split(/\s+/).filter(Boolean);
      const names = (wide: boolean) => kind.columns.filter((column) => wide || column.priority !== 1).map(({ name }) => name.toUpperCase());
      const scope = kind.scope === 'Namespaced' ? ['NAMESPACE', 'NAME'] : ['NAME'];
      assert.deepEqual(await shown(), [...scope, ...names(false)]);
      assert.deepEqual(await shown('-o', 'wide'), [...scope, ...names(true)]);
    });
  }

  const selections: readonly (readonly [string, string, string])[] = [
    ['wib', 'spec.serviceAccountName=reports', 'reports'],
    ['wib', 'spec.googleServiceAccount=pipeline@my-project.iam.gserviceaccount.com', 'pipeline'],
    ['wib', 'spec.providerName=default,spec.serviceAccountName=archive', 'archive'],
    ['wip', 'spec.type=GKE', 'gke'],
    ['mdp', 'spec.profile=Restricted', 'restrict-pipeline'],
    ['cmdp', 'spec.mode=Audit', 'audit-agents'],
    ['mdproxy', 'spec.workload=Deployment', 'batch'],
  ];
  for (const [kind, selector, name] of selections) {
    it(`${kind} selects by ${selector}`, async () => {
      const names = await kubectl('get', kind, '-A', '--field-selector', selector, '-o', 'jsonpath={.items[*].metadata.name}');
      assert.equal(names, name);
    });
  }
});

describe('kubectl explain', () => {
  it('knows every field, each with its description', async () => {
    for (const kind of kinds) {
      const text = (await kubectl('explain', kind.plural, '--recursive')).replace(/\s+/g, ' ');
      assert.ok(text.includes(kind.description.replace(/\s+/g, ' ')), text.slice(0, 500));
      assert.doesNotMatch(text, /<no description>/);
    }
  });

  it('says default, unit and example', async () => {
    const text = (await kubectl('explain', 'wib.spec.tokenLifetimeSeconds')).replace(/\s+/g, ' ');
    assert.match(text, /in seconds, 600 to 43200/);
    assert.match(text, /Default: `3600`\. Example: `1800`\./);
    assert.match(await kubectl('explain', 'mdproxy.spec.interception'), /ENUM:\s+NFTables\s+Env\s+CiliumLocalRedirect\s+None/);
  });

  it('finds a description for every field of the published schema', async () => {
    const schema = (await cluster.api.send({ method: 'GET', path: '/openapi/v3/apis/metaveil.dev/v1' })) as {
      components: { schemas: Record<string, PublishedSchema> };
    };
    const own = Object.entries(schema.components.schemas).filter(([name]) => /^dev\.metaveil\.v1\.\w+(?<!List)$/.test(name));
    assert.equal(own.length, kinds.length);
    const parts = own.flatMap(([name, { properties = {} }]) =>
      ['spec', 'status'].flatMap((part) => undescribed(`${name}.${part}`, properties[part])),
    );
    assert.deepEqual(parts, []);
  });
});

interface PublishedSchema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, PublishedSchema>>;
  readonly items?: PublishedSchema;
}

function undescribed(path: string, schema: PublishedSchema | undefined): readonly string[] {
  if (schema === undefined) return [`${path} is not published`];
  const below = Object.entries(schema.properties ?? {}).flatMap(([name, child]) => undescribed(`${path}.${name}`, child));
  const items = schema.items === undefined ? [] : undescribed(`${path}[]`, schema.items);
  return [...(schema.description === undefined ? [path] : []), ...below, ...items];
}

describe('names', () => {
  const tooLong = (kind: KindDefinition) => 'a'.repeat((kind.nameMaxLength ?? 253) + 1);
  for (const kind of kinds) {
    it(`${kind.kind} refuses a name it could not use`, async () => {
      const object = {
        apiVersion: 'metaveil.dev/v1',
        kind: kind.kind,
        metadata: { name: tooLong(kind), ...(kind.scope === 'Namespaced' && { namespace }) },
        spec: kind.kind === 'WorkloadIdentityBinding' ? { serviceAccountName: 'a' } : { type: 'GKE' },
      };
      const { code, stderr } = await cluster.kubectl(['create', '--validate=false', '-f', '-'], { stdin: JSON.stringify(object) });
      assert.equal(code, 1);
      assert.match(stderr, /metadata\.name: (Too long|Invalid value)/);
    });
  }
});
