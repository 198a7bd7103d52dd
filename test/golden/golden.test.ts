/**
 * What the operator applies, as a person reads it: each folder holds an input and the objects that follow from it.
 * `UPDATE_GOLDEN=1 node --test test/golden/golden.test.ts` writes the outputs anew.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse, stringify } from 'yaml';
import type { ClusterMetadataPolicySpec, MetadataProxySpec } from '../../operator/api/v1/index.ts';
import type { KubernetesLabelSelector } from '../../operator/core/cluster/objects.ts';
import type { DenyKind } from '../../operator/core/egress/plan.ts';
import {
  clusterMetadataPolicy,
  metadataPolicy,
  metadataProxy,
  namespace,
  networkPolicy,
  node,
} from '../builders/objects.ts';
import type { FakeApiObjects } from '../fakes/api-objects.ts';
import { run as runPolicies, startPolicies } from '../unit/controllers/policies/harness.ts';
import { run as runProxies, startProxies } from '../unit/controllers/proxies/harness.ts';

interface GoldenInput {
  readonly policy?: {
    readonly kind: 'MetadataPolicy' | 'ClusterMetadataPolicy';
    readonly spec?: Partial<ClusterMetadataPolicySpec>;
  };
  /** Spec of a MetadataProxy; with a policy it stands beside it, by default one that redirects nothing. */
  readonly proxy?: Partial<MetadataProxySpec>;
  /** providerIDs of the nodes. */
  readonly nodes: readonly string[];
  readonly denyKinds?: readonly DenyKind[];
  readonly cilium?: boolean;
  /** Specs of ClusterMetadataPolicies with `directEgress: Allow`. */
  readonly exceptions?: readonly Partial<ClusterMetadataPolicySpec>[];
  /** Egress policies of others in the namespace `web`. */
  readonly networkPolicies?: readonly { readonly podSelector: KubernetesLabelSelector }[];
}

async function applied(input: GoldenInput): Promise<FakeApiObjects> {
  const nodes = input.nodes.map((providerID, at) =>
    node({ name: `node-${at}`, providerID, labels: { ...input.proxy?.nodeSelector } }),
  );
  if (input.policy === undefined) {
    const proxies = startProxies(...nodes, metadataProxy({ spec: input.proxy ?? {} }));
    await runProxies(proxies);
    assert.deepEqual(proxies.failures, []);
    return proxies.api;
  }
  const policies = startPolicies(
    ...nodes,
    namespace('web', { team: 'web' }),
    metadataProxy({ spec: input.proxy ?? { interception: 'None' } }),
    policyOf(input.policy),
    ...(input.exceptions ?? []).map((spec, at) =>
      clusterMetadataPolicy({ name: `exception-${at}`, spec: { ...spec, directEgress: 'Allow' } }),
    ),
    ...(input.networkPolicies ?? []).map((each, at) => networkPolicy({ name: `theirs-${at}`, ...each })),
  );
  policies.cluster.kinds = { denyKinds: input.denyKinds ?? [], cilium: input.cilium ?? false };
  await runPolicies(policies);
  assert.deepEqual(policies.failures, []);
  return policies.api;
}

function policyOf({ kind, spec = {} }: NonNullable<GoldenInput['policy']>) {
  if (kind === 'ClusterMetadataPolicy') return clusterMetadataPolicy({ name: 'no-metadata', spec });
  const { podSelector } = spec;
  return metadataPolicy({ name: 'no-metadata', spec: podSelector === undefined ? {} : { podSelector } });
}

function textOf(api: FakeApiObjects): string {
  const objects = api.names().map((name) => {
    const { apiVersion, kind, metadata, ...rest } = api.object(name);
    const { uid, generation, ...own } = metadata as typeof metadata & { readonly generation?: number };
    assert.ok(uid !== undefined && generation !== undefined);
    return stringify(
      { apiVersion, kind, metadata: own, ...rest },
      { singleQuote: true, lineWidth: 0, sortMapEntries: false },
    );
  });
  return objects.length === 0 ? '# Nothing.\n' : objects.join('---\n');
}

const folder = import.meta.dirname;
const cases = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());

describe('what the operator applies', () => {
  it('is recorded for every kind of object', () => {
    const kinds = cases.flatMap(({ name }) => [
      ...readFileSync(join(folder, name, 'output.yaml'), 'utf8').matchAll(/^kind: (.*)$/gm),
    ]);
    assert.deepEqual([...new Set(kinds.map(([, kind]) => kind))].sort(), [
      'CiliumClusterwideNetworkPolicy',
      'ClusterNetworkPolicy',
      'DaemonSet',
      'Deployment',
      'GlobalNetworkPolicy',
      'NetworkPolicy',
      'ServiceAccount',
      'Tier',
    ]);
  });

  for (const { name } of cases) {
    it(`is as recorded in ${name}`, async () => {
      const input = parse(readFileSync(join(folder, name, 'input.yaml'), 'utf8')) as GoldenInput;
      const text = textOf(await applied(input));
      const file = join(folder, name, 'output.yaml');
      if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
      assert.ok(existsSync(file), `${file} is missing; run with UPDATE_GOLDEN=1 and read what it writes`);
      assert.equal(text, readFileSync(file, 'utf8'));
    });
  }
});
