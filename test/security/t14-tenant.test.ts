/** T14 by way of the API server: what a tenant makes in one namespace keeps no node from being told about the others. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StoredObject } from '../../operator/core/cluster/kinds.ts';
import { compilePolicy } from '../../operator/core/policy/compile.ts';
import { buildNodeSnapshot } from '../../operator/core/snapshot/build.ts';
import { LastGoodPolicies } from '../../operator/core/snapshot/policies.ts';
import { policyBounds } from '../../operator/core/snapshot/policy-bounds.ts';
import type { NodeSnapshot } from '../../operator/core/snapshot/types.ts';
import { encodeFrame, snapshotFrame } from '../../operator/nodeapi/wire/frames.ts';
import { wireLimits } from '../../operator/nodeapi/wire/protocol.ts';
import {
  binding,
  metadataPolicy,
  metadataProxy,
  namespace,
  node,
  pod,
  provider,
  serviceAccount,
  storeOf,
} from '../builders/objects.ts';
import { hash, rules } from '../unit/core/snapshot/world.ts';

const others: readonly StoredObject[] = [
  node(),
  metadataProxy(),
  provider(),
  namespace('shop'),
  pod({ namespace: 'shop', name: 'cart' }),
  metadataPolicy({ namespace: 'shop', name: 'hide-zone', spec: { conceal: ['instance/zone'] } }),
];

/** As long as the schema allows. */
const longPattern = (index: number): string =>
  `instance/attributes/${String(index).padStart(4, '0')}/${'a/'.repeat(12)}`.padEnd(256, 'x');

function policies(count: number): readonly StoredObject[] {
  const conceal = Array.from({ length: 64 }, (_, index) => longPattern(index));
  const at = (index: number): string => new Date(Date.UTC(2026, 0, 1) + index * 1000).toISOString();
  return Array.from({ length: count }, (_, index) =>
    metadataPolicy({
      namespace: 'hostile',
      name: `p${String(index).padStart(4, '0')}`,
      metadata: { creationTimestamp: at(index) },
      spec: { conceal },
    }),
  );
}

function pods(count: number): readonly StoredObject[] {
  return Array.from({ length: count }, (_, index) =>
    pod({ namespace: 'hostile', name: `p-${index}`, ips: [`10.1.0.${index}`], serviceAccountName: 'api' }),
  );
}

function build(...objects: readonly StoredObject[]): NodeSnapshot {
  const store = storeOf(...others, namespace('hostile'), ...objects);
  const known = new LastGoodPolicies(compilePolicy);
  known.follow(store);
  const options = {
    rules,
    hash,
    effective: (policy: Parameters<typeof known.effective>[0]) => known.effective(policy),
  };
  const snapshot = buildNodeSnapshot(store, 'node-a', options);
  assert.ok(snapshot !== undefined);
  return snapshot;
}

function assertSendable(snapshot: NodeSnapshot): void {
  const bytes = Buffer.byteLength(encodeFrame(snapshotFrame(snapshot)));
  assert.ok(bytes < wireLimits.frameBytes, `${bytes} bytes`);
  assert.ok(snapshot.resources.has('workload/pod-shop-cart'));
  assert.ok(snapshot.resources.has('policy/mdp-shop-hide-zone'));
}

describe('T14: one namespace with', () => {
  it('a thousand policies as large as can be: the oldest take effect, and the snapshot can be sent', () => {
    const snapshot = build(...pods(1), ...policies(1_000));
    assertSendable(snapshot);
    const theirs = [...snapshot.resources.values()].flatMap(({ resource }) =>
      resource.kind === 'policy' && resource.body.namespace === 'hostile' ? [resource.body] : [],
    );
    assert.deepEqual(
      theirs.map(({ name }) => name),
      ['p0000', 'p0001', 'p0002', 'p0003'],
    );
    const patterns = theirs.reduce((sum, { conceal }) => sum + conceal.length, 0);
    assert.equal(patterns, policyBounds.patterns, 'and no request is checked against more');
  });

  it('250 pods under a binding as large as can be: the snapshot can be sent', () => {
    const letters = (index: number, length: number): string => `https://${index}.`.padEnd(length, 'x');
    const idTokenAudiences = Array.from({ length: 64 }, (_, index) => letters(index, 1_024));
    const scopes = Array.from({ length: 64 }, (_, index) => letters(index, 256));
    const account = serviceAccount({ namespace: 'hostile' });
    const snapshot = build(
      ...pods(250),
      ...policies(8),
      account,
      binding({ namespace: 'hostile', spec: { idTokenAudiences, scopes } }),
    );
    assertSendable(snapshot);
    const resource = snapshot.resources.get('workload/pod-hostile-p-0')?.resource;
    assert.ok(resource?.kind === 'workload' && resource.body.identity.kind === 'bound');
    assert.equal(resource.body.identity.binding.scopes?.length, 64);
    assert.equal(resource.body.identity.binding.idTokenAudiences, undefined, 'the controller checks them');
  });
});
