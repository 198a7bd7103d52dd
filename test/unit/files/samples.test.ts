/** The samples as a reader meets them, without a cluster; test/integration/crds applies them to a real API server. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { fileSamples } from '../../../operator/adapters/files/load.ts';
import { kinds } from '../../../operator/api/v1/index.ts';
import { formatProblem } from '../../../operator/local/problem.ts';
import type { ForeignObject, LoadedSamples, OwnResource } from '../../../operator/local/ports.ts';

let samples: LoadedSamples;

before(async () => {
  const outcome = await fileSamples.load('samples');
  assert.equal(outcome.kind, 'loaded', JSON.stringify(outcome));
  samples = outcome.samples;
});

function ofKind<K extends OwnResource['kind']>(kind: K): readonly (OwnResource & { readonly kind: K })[] {
  return samples.resources
    .map(({ object }) => object)
    .filter((object): object is OwnResource & { readonly kind: K } => object.kind === kind);
}

function others(kind: string): readonly ForeignObject[] {
  return samples.others.map(({ object }) => object).filter((object) => object.kind === kind);
}

describe('samples', () => {
  it('start with the only namespace, in which everything namespaced lives', () => {
    const [first = ''] = readdirSync('samples').sort();
    assert.match(readFileSync(join('samples', first), 'utf8'), /kind: Namespace/);
    assert.deepEqual(
      others('Namespace').map(({ metadata }) => metadata.name),
      ['metaveil-samples'],
    );
    const all = [...samples.resources, ...samples.others].map(({ object }) => object.metadata.namespace);
    assert.deepEqual(new Set(all), new Set([undefined, 'metaveil-samples']));
  });

  for (const kind of kinds) {
    it(`use every field of ${kind.kind} somewhere, and also leave it to its defaults`, () => {
      const specs = ofKind(kind.kind).map(({ spec }) => Object.keys(spec));
      const written = new Set(specs.flat());
      assert.deepEqual(
        Object.keys(kind.spec.properties).filter((field) => !written.has(field)),
        [],
      );
      assert.ok(specs.length >= 2);
    });
  }

  it('bind every ServiceAccount but one, and no other', () => {
    const accounts = others('ServiceAccount').map(({ metadata }) => metadata.name);
    const bound = ofKind('WorkloadIdentityBinding').map(({ spec }) => spec.serviceAccountName);
    assert.deepEqual(
      bound.filter((name) => !accounts.includes(name)),
      [],
    );
    assert.deepEqual(
      accounts.filter((name) => !bound.includes(name)),
      ['visitor'],
    );
  });

  it('speak of one Google project, pool and provider', () => {
    const providers = ofKind('WorkloadIdentityProvider');
    const names = providers.map(({ metadata }) => metadata.name);
    for (const { spec } of ofKind('WorkloadIdentityBinding')) {
      assert.ok(names.includes(spec.providerName));
      assert.match(spec.googleServiceAccount ?? '@my-project.iam.gserviceaccount.com', /@my-project\.iam\./);
    }
    const defaultProvider = providers.find(({ metadata }) => metadata.name === 'default');
    assert.equal(
      defaultProvider?.spec.provider,
      'projects/123456789012/locations/global/workloadIdentityPools/metaveil/providers/cluster',
    );
    const emulated = ofKind('MetadataProxy').flatMap(({ spec }) => (spec.emulated ? [spec.emulated] : []));
    assert.deepEqual(
      emulated.map(({ projectId, numericProjectId }) => [projectId, numericProjectId]),
      [['my-project', '123456789012']],
    );
  });

  it('show both forms of workload, on node pools that do not overlap', () => {
    const proxies = ofKind('MetadataProxy');
    assert.deepEqual(new Set(proxies.map(({ spec }) => spec.workload)), new Set(['DaemonSet', 'Deployment']));
    const pools = proxies.map(({ spec }) => spec.nodeSelector?.['pool']);
    assert.ok(pools.every((pool) => pool !== undefined));
    assert.equal(new Set(pools).size, proxies.length);
  });

  it('have one bound and one unbound pod that no node holds yet, and a Job', () => {
    const pods = others('Pod').map((pod) => pod['spec'] as { serviceAccountName: string; nodeName?: string });
    assert.deepEqual(
      pods.map(({ serviceAccountName, nodeName }) => [serviceAccountName, nodeName]),
      [
        ['reports', undefined],
        ['visitor', undefined],
      ],
    );
    assert.equal(others('Job').length, 1);
  });

  it("carry the install's own ClusterMetadataPolicy unchanged", () => {
    const shipped = parse(readFileSync('config/instances/cluster_metadata_policy.yaml', 'utf8')) as OwnResource;
    const sample = ofKind('ClusterMetadataPolicy').find(({ metadata }) => metadata.name === shipped.metadata.name);
    assert.ok(sample);
    assert.deepEqual(sample.spec, { mode: 'Enforce', ...shipped.spec });
  });
});

describe('samples/invalid', () => {
  for (const name of readdirSync('samples/invalid')) {
    it(`${name} is refused with the messages beside it`, async () => {
      const file = join('samples/invalid', name);
      const outcome = await fileSamples.load(file);
      assert.equal(outcome.kind, 'rejected');
      assert.deepEqual(outcome.problems.map(formatProblem), expectedMessages(readFileSync(file, 'utf8')));
    });
  }
});

function expectedMessages(text: string): readonly string[] {
  const [refusals = ''] = text.split('# Refused by the API server:\n');
  return refusals
    .split('\n')
    .slice(1, -1)
    .map((line) => line.replace(/^#\s+/, ''));
}
