import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CanonicalPath, PolicySubject } from '../../../../operator/core/policy/decision.ts';
import { evaluatorOf } from '../../../../operator/core/policy/evaluate.ts';
import { emulatedTree } from '../../../../operator/core/tree/emulated.ts';
import type { MetadataNode } from '../../../../operator/core/tree/node.ts';
import { valueText } from '../../../../operator/core/tree/render.ts';
import { bound, cmdp, email, federated, mdp, settings, subject, unbound } from '../policy/subjects.ts';
import { bodyOf } from './ask.ts';

/** Every leaf has a value of its own, so that a leak can be seen anywhere in a body. */
const emulated = {
  projectId: 'leaf-project-id',
  numericProjectId: '700001',
  zone: 'leaf-zone',
  instanceId: '700002',
  instanceName: 'leaf-name',
  hostname: 'leaf-hostname',
  clusterName: 'leaf-cluster-name',
  clusterLocation: 'leaf-cluster-location',
  clusterUid: 'leaf-cluster-uid',
  universeDomain: 'leaf-universe',
  attributes: { 'kube-env': 'leaf-kube-env', 'user-data': 'leaf-user-data', team: 'leaf-team' },
};

const name = fc.constantFrom(
  'instance',
  'project',
  'attributes',
  'service-accounts',
  'default',
  email,
  '*',
  'k*',
  'id',
  'zone',
  'team',
  'kube-env',
  'token',
  'email',
);
const patternText = fc
  .tuple(fc.array(name, { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([segments, subtree]) => [...segments, ...(subtree ? ['**'] : [])].join('/'));
const text = fc.record(
  {
    profile: fc.constantFrom('Privileged', 'Baseline', 'Restricted'),
    conceal: fc.array(patternText, { maxLength: 3 }),
    reveal: fc.array(patternText, { maxLength: 3 }),
  },
  { requiredKeys: [] },
);
const subjects: fc.Arbitrary<PolicySubject> = fc
  .tuple(text, text, fc.constantFrom(bound, unbound, federated), fc.constantFrom('Deny', 'FederatedIdentity'))
  .map(([wide, own, identity, unboundWorkloads]) =>
    subject([cmdp('wide', wide), mdp('own', own)], identity, {
      ...settings(),
      platform: 'None',
      unboundWorkloads,
      emulated,
    }),
  );

interface Leaf {
  readonly path: CanonicalPath;
  readonly value: string;
}

function leaves(node: MetadataNode, path: CanonicalPath = []): readonly Leaf[] {
  if (node.kind === 'directory') return [...node.children].flatMap(([own, child]) => leaves(child, [...path, own]));
  return node.kind === 'value' ? [{ path, value: valueText(node.value).trim() }] : [];
}

const directories = ['', 'instance/', 'instance/attributes/', 'project/', 'universe/', 'instance/service-accounts/'];
const queries = ['', '?alt=json', '?recursive=true', '?recursive=true&alt=text', '?recursive=true&alt=json'];

describe('nothing concealed is in any document or listing', () => {
  it('of any directory, in any form', () => {
    fc.assert(
      fc.property(subjects, fc.constantFrom(...directories), fc.constantFrom(...queries), (asked, directory, query) => {
        const { account, evaluate } = evaluatorOf(asked);
        const body = bodyOf(asked, `${directory}${query}`);
        const all = leaves(emulatedTree(emulated, account)).map((leaf) => ({ ...leaf, ...evaluate(leaf.path) }));
        const hidden = all.filter(({ kind }) => kind === 'conceal');
        // One value may be served under two names; it is hidden only if every path to it is. The account's names are
        // also names of directories, so seeing them proves nothing.
        const names = all.flatMap(({ path: [, , account = ''] }) => ({ value: account }));
        const open = [...all.filter(({ kind }) => kind === 'reveal'), ...names];
        for (const { path, value } of hidden) {
          if (open.some((leaf) => leaf.value.includes(value))) continue;
          assert.ok(!body.includes(value), `${path.join('/')} in ${directory}${query}: ${body}`);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('and what the document does have is each revealed by itself', () => {
    fc.assert(
      fc.property(subjects, (asked) => {
        const { account, evaluate } = evaluatorOf(asked);
        const body = bodyOf(asked, '?recursive=true&alt=text');
        for (const { path, value } of leaves(emulatedTree(emulated, account))) {
          const line = `${path.join('/')} ${value.split('\n')[0] ?? ''}\n`;
          if (evaluate([]).kind === 'conceal') continue;
          const decision = evaluate(path);
          const isShown = body.startsWith(line) || body.includes(`\n${line}`);
          if (decision.kind === 'conceal' || decision.permit.extent === 'directory') assert.ok(!isShown, line);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('a leaf asked for by itself has the value or is concealed, as decided', () => {
    fc.assert(
      fc.property(subjects, (asked) => {
        const { account, evaluate } = evaluatorOf(asked);
        for (const { path, value } of leaves(emulatedTree(emulated, account))) {
          const decision = evaluate(path);
          const body = bodyOf(asked, path.join('/')).trim();
          if (decision.kind === 'conceal') assert.equal(body, 'concealed by policy');
          else if (decision.permit.extent === 'node') assert.ok(body === value || body === '', path.join('/'));
          else assert.equal(body, 'concealed');
        }
      }),
      { numRuns: 500 },
    );
  });
});
