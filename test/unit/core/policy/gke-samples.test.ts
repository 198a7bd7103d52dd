/** samples/51: what GKE's --workload-metadata-from-node gives, as policies. */
import fc from 'fast-check';
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { fileSamples } from '../../../../operator/adapters/files/load.ts';
import { compilePolicy } from '../../../../operator/core/policy/compile.ts';
import type { CanonicalPath, Decision, PolicySubject } from '../../../../operator/core/policy/decision.ts';
import { evaluate } from '../../../../operator/core/policy/evaluate.ts';
import type { CompiledPolicy } from '../../../../operator/core/snapshot/types.ts';
import { bound, email, federated, subject, unbound } from './subjects.ts';

const samples = new Map<string, CompiledPolicy>();

before(async () => {
  const outcome = await fileSamples.load('samples/51-gke-workload-metadata.yaml');
  assert.equal(outcome.kind, 'loaded');
  for (const { object } of outcome.samples.resources) {
    assert.equal(object.kind, 'ClusterMetadataPolicy');
    const compiled = compilePolicy(object);
    assert.equal(compiled.kind, 'compiled');
    samples.set(object.metadata.name, compiled.policy);
  }
});

const sample = (name: string): CompiledPolicy => samples.get(name) ?? assert.fail(name);

const names = ['instance', 'attributes', 'kube-env', 'KUBE-env', 'service-accounts', 'default', 'token', 'identity'];
const paths = fc.array(fc.constantFrom(...names, email, 'user-data', 'project', 'below'), { maxLength: 6 });
const questions = fc.tuple(
  fc.constantFrom(bound, unbound, federated),
  fc.constantFrom('Baseline', 'Restricted'),
  fc.oneof(
    paths,
    fc.constantFrom(
      ['instance', 'attributes', 'kube-env'],
      ['instance', 'attributes', 'user-data'],
      ['instance', 'service-accounts', 'default', 'identity'],
      ['instance', 'service-accounts', email, 'identity'],
      ['instance', 'service-accounts', 'default', 'token'],
    ),
  ),
  fc.constantFrom('v1', 'legacy'),
);

/** What the pod gets; the trace says by whom, which is what differs. */
function answer(decision: Decision): unknown {
  return decision.kind === 'conceal' ? decision.kind : decision.permit;
}

type Question = readonly [
  PolicySubject['workload']['identity'],
  'Baseline' | 'Restricted',
  CanonicalPath,
  'v1' | 'legacy',
];

function forEach(check: (question: Question) => void): void {
  fc.assert(fc.property(questions, check), { numRuns: 5_000 });
}

/** Node pools of profile Privileged, without any policy. */
const privileged = (identity: Question[0]) => subject([], identity, { defaultProfile: 'Privileged' });

describe("GKE's EXPOSED and SECURE", () => {
  it('EXPOSED is profile Privileged, whatever the default of the node pool', () => {
    forEach(([identity, defaultProfile, path, version]) => {
      const exposed = subject([sample('gke-exposed')], identity, { defaultProfile });
      assert.deepEqual(answer(evaluate(exposed, path, version)), answer(evaluate(privileged(identity), path, version)));
    });
  });

  it('SECURE is profile Privileged without kube-env and identity, and nothing else less', () => {
    forEach(([identity, defaultProfile, path, version]) => {
      const secure = subject([sample('gke-secure')], identity, { defaultProfile });
      const expected = isSecret(path) ? 'conceal' : answer(evaluate(privileged(identity), path, version));
      assert.deepEqual(answer(evaluate(secure, path, version)), expected);
    });
  });
});

/** Written without the patterns: kube-env in any case, and the identity of any account, with all below. */
function isSecret([first, second, third, fourth]: CanonicalPath): boolean {
  if (first !== 'instance') return false;
  if (second === 'attributes') return third?.toLowerCase() === 'kube-env';
  return second === 'service-accounts' && fourth === 'identity';
}
