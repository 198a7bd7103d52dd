/** The types inferred from the schema consts say the same as the schemas; the compiler checks half of this file. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { validateObject } from '../../../operator/adapters/files/validate.ts';
import type {
  ClusterMetadataPolicySpec,
  MetadataPolicySpec,
  MetadataProxySpec,
  WorkloadIdentityBindingSpec,
  WorkloadIdentityProviderSpec,
} from '../../../operator/api/v1/index.ts';

type RequiredKeys<T> = { [K in keyof T]-?: object extends Pick<T, K> ? never : K }[keyof T];
type Exactly<T, U> = [T] extends [U] ? ([U] extends [T] ? true : never) : never;

/** Lists all required keys of T; the second argument compiles only if none is left out. */
function requiredKeysOf<T, const K extends RequiredKeys<T> = RequiredKeys<T>>(
  keys: readonly K[],
  complete: Exactly<RequiredKeys<T>, K>,
): readonly string[] {
  assert.equal(complete, true);
  return keys.map(String).sort();
}

function presentAfterDefaults(kind: string, namespaced: boolean, spec: object): readonly string[] {
  const metadata = { name: 'example', ...(namespaced && { namespace: 'example' }) };
  const verdict = validateObject({ apiVersion: 'metaveil.dev/v1', kind, metadata, spec });
  assert.equal(verdict.kind, 'resource', JSON.stringify(verdict));
  return Object.keys(verdict.object.spec).sort();
}

describe('a minimal object has, after defaults, exactly the fields that its type promises', () => {
  it('WorkloadIdentityBinding', () => {
    const promised = requiredKeysOf<
      WorkloadIdentityBindingSpec,
      'serviceAccountName' | 'access' | 'providerName' | 'tokenLifetimeSeconds' | 'suspend'
    >(['serviceAccountName', 'access', 'providerName', 'tokenLifetimeSeconds', 'suspend'], true);
    const spec = { serviceAccountName: 'example', access: 'Direct' };
    assert.deepEqual(presentAfterDefaults('WorkloadIdentityBinding', true, spec), promised);
  });

  it('WorkloadIdentityProvider, but for what its type demands', () => {
    const promised = requiredKeysOf<WorkloadIdentityProviderSpec, 'type' | 'universeDomain' | 'adoptAnnotations'>(
      ['type', 'universeDomain', 'adoptAnnotations'],
      true,
    );
    const provider = 'projects/1/locations/global/workloadIdentityPools/pool/providers/cluster';
    const present = presentAfterDefaults('WorkloadIdentityProvider', false, {
      type: 'WorkloadIdentityFederation',
      provider,
    });
    assert.deepEqual(
      present.filter((name) => name !== 'provider'),
      promised,
    );
  });

  it('MetadataPolicy', () => {
    const promised = requiredKeysOf<MetadataPolicySpec, 'mode' | 'directEgress'>(['mode', 'directEgress'], true);
    assert.deepEqual(presentAfterDefaults('MetadataPolicy', true, {}), promised);
  });

  it('ClusterMetadataPolicy', () => {
    const promised = requiredKeysOf<ClusterMetadataPolicySpec, 'mode' | 'directEgress'>(['mode', 'directEgress'], true);
    assert.deepEqual(presentAfterDefaults('ClusterMetadataPolicy', false, {}), promised);
  });

  it('MetadataProxy', () => {
    const keys = [
      'mode',
      'defaultProfile',
      'unboundWorkloads',
      'hostNetworkWorkloads',
      'platform',
      'interception',
      'removeStartupTaint',
      'workload',
      'imagePullPolicy',
      'priorityClassName',
      'maxUnavailable',
    ] as const;
    const promised = requiredKeysOf<MetadataProxySpec, (typeof keys)[number]>(keys, true);
    assert.deepEqual(presentAfterDefaults('MetadataProxy', false, {}), promised);
  });
});
