import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Decision, PolicySubject } from '../../../../operator/core/policy/decision.ts';
import { evaluate } from '../../../../operator/core/policy/evaluate.ts';
import type { CompiledPolicy } from '../../../../operator/core/snapshot/types.ts';
import { bound, cmdp, email, federated, mdp, settings, unbound, wordFor, workload } from './subjects.ts';

/** Few words, so that patterns and paths often meet. */
const names = ['instance', 'attributes', 'kube-env', 'cluster-name', 'service-accounts', 'default', 'token', 'id'];
const name = fc.constantFrom(...names, email, 'KUBE-ENV', 'disks');
const somePath = fc.array(name, { maxLength: 5 });
const realPath = fc.constantFrom(
  ['instance', 'attributes', 'kube-env'],
  ['instance', 'attributes', 'cluster-name'],
  ['instance', 'service-accounts', 'default', 'token'],
  ['instance', 'service-accounts', email, 'identity'],
  ['instance', 'service-accounts'],
  ['instance', 'attributes'],
  ['instance', 'id'],
  ['project', 'project-id'],
  [],
);
const path = fc.oneof(somePath, realPath);
const patternText = fc
  .tuple(fc.array(fc.oneof(name, fc.constantFrom('*', 'kube-*', '*-id')), { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([segments, subtree]) => [...segments, ...(subtree ? ['**'] : [])].join('/'));
const patterns = fc.array(patternText, { maxLength: 3 });
const profile = fc.constantFrom('Privileged', 'Baseline', 'Restricted');
const text = fc.record(
  {
    mode: fc.constantFrom('Audit', 'Enforce'),
    profile,
    conceal: patterns,
    reveal: patterns,
    legacyEndpoints: fc.constantFrom('Deny', 'Allow'),
  },
  { requiredKeys: [] },
);
const policyName = fc.constantFrom('a', 'b', 'c', 'd');
const namespaced = fc.tuple(policyName, text).map(([own, spec]) => mdp(own, spec));
const clusterWide = fc.tuple(policyName, text).map(([own, spec]) => cmdp(own, spec));
const policies = fc.uniqueArray(fc.oneof(namespaced, clusterWide), { maxLength: 5, selector: ({ uid }) => uid });
const nodeSettings = fc
  .record({
    mode: fc.constantFrom('Audit', 'Enforce'),
    defaultProfile: profile,
    unboundWorkloads: fc.constantFrom('Deny', 'FederatedIdentity'),
    platform: fc.constantFrom('GCE', 'None'),
  })
  .map((overrides) => settings(overrides));
const anySubject: fc.Arbitrary<PolicySubject> = fc.record({
  workload: fc.constantFrom(bound, unbound, federated).map(workload),
  settings: nodeSettings,
  policies,
});
const version = fc.constantFrom('v1', 'legacy');
const runs = { numRuns: 3000 };

const withPolicy = (subject: PolicySubject, added: CompiledPolicy): PolicySubject => ({
  ...subject,
  policies: [...subject.policies.filter(({ uid }) => uid !== added.uid), added],
});

/** How much a decision opens; an account of the workload's own is no part of the node's tree. */
function openness(decision: Decision): number {
  const word = wordFor(decision);
  if (word === 'reveal') return 2;
  return word === 'directory' ? 1 : 0;
}

describe('evaluate', () => {
  it('adding a MetadataPolicy never reveals', () => {
    fc.assert(
      fc.property(anySubject, namespaced, path, version, (subject, added, asked, api) => {
        fc.pre(subject.policies.every(({ uid }) => uid !== added.uid));
        const before = evaluate(subject, asked, api);
        const after = evaluate(withPolicy(subject, added), asked, api);
        assert.ok(openness(after) <= openness(before), `${wordFor(before)} became ${wordFor(after)}`);
        if (before.kind === 'conceal') assert.equal(after.kind, 'conceal');
      }),
      runs,
    );
  });

  it('the order of policies is irrelevant, to the trace too', () => {
    const shuffled = anySubject.chain((subject) =>
      fc.tuple(
        fc.constant(subject),
        fc.shuffledSubarray([...subject.policies], {
          minLength: subject.policies.length,
          maxLength: subject.policies.length,
        }),
      ),
    );
    fc.assert(
      fc.property(shuffled, path, version, ([subject, reordered], asked, api) => {
        const first = evaluate(subject, asked, api);
        const second = evaluate({ ...subject, policies: reordered }, asked, api);
        assert.equal(wordFor(second), wordFor(first));
        assert.deepEqual(second.trace, first.trace);
        const findings = (decision: Decision) => new Set(decision.audit.map((finding) => JSON.stringify(finding)));
        assert.deepEqual(findings(second), findings(first));
      }),
      runs,
    );
  });

  it('an Audit policy never changes an answer', () => {
    const auditing = fc.oneof(namespaced, clusterWide).map((policy) => ({ ...policy, mode: 'Audit' as const }));
    fc.assert(
      fc.property(anySubject, auditing, path, version, (subject, added, asked, api) => {
        fc.pre(subject.policies.every(({ uid }) => uid !== added.uid));
        const before = evaluate(subject, asked, api);
        const after = evaluate(withPolicy(subject, added), asked, api);
        assert.deepEqual({ ...after, audit: [] }, { ...before, audit: [] });
      }),
      runs,
    );
  });

  it('under an Audit MetadataProxy no policy changes an answer', () => {
    fc.assert(
      fc.property(anySubject, path, version, (subject, asked, api) => {
        const audited = { ...subject, settings: settings({ ...subject.settings, mode: 'Audit' }) };
        const alone = evaluate({ ...audited, policies: [] }, asked, api);
        assert.deepEqual({ ...evaluate(audited, asked, api), audit: [] }, { ...alone, audit: [] });
      }),
      runs,
    );
  });

  it('a legacy path shows no more than its v1 path', () => {
    fc.assert(
      fc.property(anySubject, path, (subject, asked) => {
        const legacy = evaluate(subject, asked, 'legacy');
        const v1 = evaluate(subject, asked, 'v1');
        if (legacy.kind === 'reveal') assert.equal(wordFor(legacy), wordFor(v1));
      }),
      runs,
    );
  });

  it('both names of an account get one decision', () => {
    fc.assert(
      fc.property(anySubject, somePath, version, (subject, rest, api) => {
        const owner = { ...subject, workload: workload(bound) };
        const by = (own: string) => evaluate(owner, ['instance', 'service-accounts', own, ...rest], api);
        assert.deepEqual(by(email), by('default'));
      }),
      runs,
    );
  });

  it('what a concealed node has below is concealed', () => {
    fc.assert(
      fc.property(anySubject, path, name, (subject, asked, child) => {
        const above = evaluate(subject, asked);
        if (above.kind === 'conceal' && above.reason === 'policy') {
          assert.equal(evaluate(subject, [...asked, child]).kind, 'conceal');
        }
      }),
      runs,
    );
  });

  it('is total: any segments, any number of them', () => {
    fc.assert(
      fc.property(
        anySubject,
        fc.array(fc.string({ unit: 'binary' }), { maxLength: 40 }),
        version,
        (subject, asked, api) => {
          const decision = evaluate(subject, asked, api);
          assert.ok(decision.trace.length >= 2);
        },
      ),
      runs,
    );
  });

  it('a permit is for the workload and version that asked', () => {
    fc.assert(
      fc.property(anySubject, path, version, (subject, asked, api) => {
        const decision = evaluate(subject, asked, api);
        if (decision.kind === 'conceal') return;
        assert.equal(decision.permit.workload, subject.workload);
        assert.equal(decision.permit.version, api);
        assert.equal(decision.permit.path.length, asked.length);
      }),
      runs,
    );
  });
});
