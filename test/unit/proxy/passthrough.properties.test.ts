/** Random policies on a node of GCE: whatever its real server sends, nothing concealed comes out. */
import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CanonicalPath, PolicySubject } from '../../../operator/core/policy/decision.ts';
import { evaluatorOf } from '../../../operator/core/policy/evaluate.ts';
import { answerTree } from '../../../operator/local/gce/answers.ts';
import { defaultInstance, treeOf, type GceInstance } from '../../../operator/local/gce/instance.ts';
import { targetOf } from '../../../operator/local/gce/request.ts';
import type { TreeNode } from '../../../operator/local/gce/tree.ts';
import { PassThrough, type PassedAnswer } from '../../../operator/proxy/passthrough.ts';
import type { Upstream } from '../../../operator/proxy/ports.ts';
import { FakeTimers } from '../../fakes/timers.ts';
import { bindingView, cmdp, email, mdp, subject, unbound } from '../core/policy/subjects.ts';
import { accepted, get, v1 } from '../core/request/raw.ts';
import { hash } from '../core/tree/ask.ts';

/** Every leaf has a value of its own, so that a leak can be seen anywhere in a body. */
const vm: GceInstance = {
  ...defaultInstance,
  projectId: 'leaf-project-id',
  numericProjectId: '700001',
  id: '700002',
  name: 'leaf-name',
  zone: 'leaf-zone',
  email: 'leaf-account@vm',
  scopes: ['leaf-scope'],
  attributes: {
    'kube-env': 'leaf-kube-env',
    'user-data': 'leaf-user-data',
    team: 'leaf-team',
    'cluster-name': 'leaf-cluster',
  },
  projectAttributes: { 'ssh-keys': 'leaf-ssh-keys' },
  accessToken: 'leaf-access-token',
  identityToken: 'leaf-identity-token',
};
const tree = treeOf(vm);

/** Of the pod's own: the usual ones have the universe's name in them. */
const scopes = ['own-scope'];
const identities = [
  { kind: 'bound' as const, binding: bindingView({ scopes }) },
  {
    kind: 'bound' as const,
    binding: bindingView({ name: '', access: 'Direct', email: 'pool.global.123.workload.id.goog', scopes }),
  },
  unbound,
];

/** The emulator without its socket; every target that it was asked. */
class DirectUpstream implements Upstream {
  readonly asked: string[] = [];

  get({ target }: { readonly target: string }) {
    this.asked.push(target);
    const url = new URL(target, 'http://metadata');
    const place = targetOf(url.pathname);
    assert.ok(place.kind === 'tree' && place.api === 'v1', target);
    const question = { segments: place.segments, slash: place.slash, query: url.searchParams, location: 'http://x/y/' };
    const { status, body, headers } = answerTree(tree, vm, question);
    const json = headers['Content-Type'] === 'application/json';
    return Promise.resolve({ kind: 'answered' as const, status, json, body });
  }
}

const name = fc.constantFrom(
  ...[
    'instance',
    'project',
    'attributes',
    'service-accounts',
    'default',
    email,
    vm.email,
    '*',
    'k*',
    '*-*',
    'id',
    'zone',
  ],
  ...['name', 'tags', 'team', 'kube-env', 'KUBE-ENV', 'token', 'email', 'scopes', '0', 'universe', 'ssh-keys'],
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
  .tuple(text, text, fc.constantFrom(...identities), fc.constantFrom('Deny', 'FederatedIdentity'))
  .map(([wide, own, identity, unboundWorkloads]) =>
    subject([cmdp('wide', wide), mdp('own', own)], identity, { platform: 'GCE', unboundWorkloads }),
  );

interface Leaf {
  readonly path: CanonicalPath;
  readonly value: string;
}

function leaves(node: TreeNode, path: CanonicalPath = []): readonly Leaf[] {
  if (node.kind === 'leaf') return node.text.trim() === '' ? [] : [{ path, value: node.text.trim() }];
  return [...node.entries].flatMap(([own, child]) => leaves(child, [...path, own]));
}

function directories(node: TreeNode, path: CanonicalPath = []): readonly string[] {
  if (node.kind === 'leaf') return [];
  const below = [...node.entries].flatMap(([own, child]) => directories(child, [...path, own]));
  return [path.map((segment) => `${segment}/`).join(''), ...below];
}

const queries = ['', '?alt=json', '?recursive=true', '?recursive=true&alt=text', '?recursive=true&alt=json'];

interface Asked {
  readonly answer: PassedAnswer['answer'] | { readonly kind: 'not-asked' };
  readonly targets: readonly string[];
}

/** What a pod gets for a target below /computeMetadata/v1/, and what the real server was asked for it. */
async function ask(who: PolicySubject, below: string): Promise<Asked> {
  const request = accepted(get(`${v1}${below}`));
  const { account, evaluate: filter } = evaluatorOf(who);
  const decision = filter(request.path);
  if (decision.kind === 'conceal') return { answer: { kind: 'not-asked' }, targets: [] };
  const upstream = new DirectUpstream();
  const passThrough = new PassThrough({ upstream, timers: new FakeTimers(), hash });
  const { answer } = await passThrough.answer({ request, permit: decision.permit, account, filter });
  return { answer, targets: upstream.asked };
}

function bodyOf({ answer }: Asked): string {
  return 'body' in answer ? answer.body : '';
}

describe('a real server with secrets behind random policies', () => {
  it('shows none of them in any document or listing of any ancestor', async () => {
    const property = fc.asyncProperty(
      subjects,
      fc.constantFrom(...directories(tree)),
      fc.constantFrom(...queries),
      async (who, directory, query) => {
        const { evaluate } = evaluatorOf(who);
        const body = bodyOf(await ask(who, `${directory}${query}`));
        const all = leaves(tree).map((leaf) => ({ ...leaf, decision: evaluate(leaf.path) }));
        const isOpen = ({ decision }: (typeof all)[number]) =>
          decision.kind === 'reveal' && decision.permit.origin === 'node' && decision.permit.extent === 'node';
        // One value may stand in several places; it is hidden only if every place is. The account's names are also
        // names of directories, so seeing them proves nothing.
        const open = [...all.filter(isOpen).map(({ value }) => value), vm.email, 'default'];
        for (const { path, value } of all.filter((leaf) => !isOpen(leaf))) {
          if (open.some((each) => each.includes(value))) continue;
          assert.ok(!body.includes(value), `${path.join('/')} in ${directory}${query}: ${body}`);
        }
        assert.ok(!body.includes(vm.accessToken) && !body.includes(vm.identityToken));
      },
    );
    await fc.assert(property, { numRuns: 3_000 });
  });

  it("never names the node's account to a pod that is not to have it", async () => {
    const property = fc.asyncProperty(subjects, fc.constantFrom(...queries), async (who, query) => {
      if (evaluatorOf(who).account.kind === 'node') return;
      for (const directory of ['', 'instance/']) {
        assert.ok(!bodyOf(await ask(who, `${directory}${query}`)).includes(vm.email));
      }
    });
    await fc.assert(property, { numRuns: 500 });
  });

  it('is asked for a value only where the value itself is revealed, under exactly its own path', async () => {
    const paths = [
      ...leaves(tree).map(({ path }) => path.join('/')),
      'instance/service-accounts/default/token',
      `instance/service-accounts/${vm.email}/identity?audience=a`,
      'instance/tags/0',
      'instance/attributes/team/below',
    ];
    const property = fc.asyncProperty(subjects, fc.constantFrom(...paths), async (who, below) => {
      const { targets } = await ask(who, below);
      const request = accepted(get(`${v1}${below}`));
      const decision = evaluatorOf(who).evaluate(request.path);
      const { origin, extent } = decision.kind === 'reveal' ? decision.permit : { origin: 'workload', extent: 'node' };
      const isAsked = origin === 'node' && extent === 'node';
      assert.deepEqual(
        targets.map((target) => target.split('?')[0]),
        isAsked ? [`${v1}${request.path.join('/')}`] : [],
      );
    });
    await fc.assert(property, { numRuns: 2_000 });
  });

  it('serves every value that is revealed', async () => {
    const property = fc.asyncProperty(subjects, fc.constantFrom(...leaves(tree)), async (who, { path, value }) => {
      const decision = evaluatorOf(who).evaluate(path);
      if (decision.kind === 'conceal' || decision.permit.origin !== 'node') return;
      const body = bodyOf(await ask(who, path.join('/'))).trim();
      const isList = ['aliases', 'scopes', 'tags'].includes(path.at(-1) ?? '');
      // A list loses the items that a policy names; these lists have one item.
      if (decision.permit.extent === 'node') assert.ok(body === value || (isList && body === ''), path.join('/'));
      else assert.equal(body, '');
    });
    await fc.assert(property, { numRuns: 1_000 });
  });
});
