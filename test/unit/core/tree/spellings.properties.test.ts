/** A concealed value asked for in every way that a request has: no ancestor, name, spelling or query leads to it. */
import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CanonicalPath, PolicySubject } from '../../../../operator/core/policy/decision.ts';
import { evaluatorOf } from '../../../../operator/core/policy/evaluate.ts';
import { parseRequest } from '../../../../operator/core/request/parse.ts';
import { bindingView, cmdp, email, mdp, subject } from '../policy/subjects.ts';
import { get, v1 } from '../request/raw.ts';
import { bodyOfTarget } from './ask.ts';

const emulated = {
  projectId: 'leaf-project',
  numericProjectId: '700001',
  zone: 'leaf-zone',
  instanceId: '700002',
  instanceName: 'leaf-name',
  hostname: 'leaf-host',
  clusterName: 'leaf-cluster',
  universeDomain: 'leaf-universe',
  attributes: { 'kube-env': 'leaf-kube-env', team: 'leaf-team' },
};

/** The account's e-mail is no canary: it stands in paths. Its scopes are. */
const identity = { kind: 'bound' as const, binding: bindingView({ scopes: ['leaf-scope'] }) };

const secrets: readonly (readonly [path: CanonicalPath, value: string])[] = [
  [['instance', 'attributes', 'kube-env'], 'leaf-kube-env'],
  [['instance', 'attributes', 'team'], 'leaf-team'],
  [['instance', 'id'], '700002'],
  [['instance', 'hostname'], 'leaf-host'],
  [['instance', 'service-accounts', 'default', 'scopes'], 'leaf-scope'],
  [['universe', 'universe-domain'], 'leaf-universe'],
];
const secret = fc.constantFrom(...secrets);

/** Patterns that conceal the path: itself or an ancestor, under either name of an account, in any case, with stars. */
function patternsFor(path: CanonicalPath): fc.Arbitrary<string> {
  const segments = path.map((segment) => {
    const same = [segment, segment.toUpperCase(), '*', `${segment.slice(0, 1)}*`];
    return fc.constantFrom(...same, ...(segment === 'default' ? [email] : []));
  });
  return fc
    .tuple(fc.tuple(...segments), fc.integer({ min: 1, max: path.length }), fc.boolean())
    .map(([all, depth, subtree]) => [...all.slice(0, depth), ...(subtree ? ['**'] : [])].join('/'));
}

const escape = (text: string) => text.replaceAll(/./g, (each) => `%${each.charCodeAt(0).toString(16)}`);
const upper = (text: string) => text.toUpperCase();

/** The path, one of its ancestors or something below it, as somebody who wants the value might write it. */
function spellingsOf(path: CanonicalPath): fc.Arbitrary<string> {
  const ways = [(text: string) => text, escape, upper, (text: string) => (text === 'default' ? email : text)];
  const segment = (text: string) =>
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.constantFrom(text, ...(text === 'default' ? [email, email.replace('@', '%40')] : [])),
      },
      { weight: 1, arbitrary: fc.constantFrom(...ways).map((way) => way(text)) },
    );
  const prefix = fc.oneof(
    { weight: 4, arbitrary: fc.constant(v1) },
    {
      weight: 3,
      arbitrary: fc.constantFrom('/computeMetadata/v1beta1/', '/ComputeMetadata/V1Beta1/', '/0.1/', '/0.1/meta-data/'),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '//computeMetadata/v1/',
        '/computeMetadata/./v1/',
        'http://metadata/computeMetadata/v1/',
      ),
    },
  );
  return fc
    .tuple(
      prefix,
      fc.tuple(...path.map(segment)),
      fc.integer({ min: 0, max: path.length }),
      fc.constantFrom('', '/', '/0', '/x'),
    )
    .map(([root, all, depth, end]) => {
      // The oldest API has the entries of instance/ at its root.
      const shown =
        root.startsWith('/0.1/meta-data') && all[0] === 'instance' ? all.slice(1, depth) : all.slice(0, depth);
      return `${root}${shown.join('/')}${shown.length === 0 ? '' : end}`;
    });
}

const pair = fc.constantFrom(
  ...['recursive=true', 'recursive=TRUE', '%72ecursive=true', 'recursive=false', 'recursive', 'Recursive=true'],
  ...['alt=json', 'alt=text', 'alt=xml', '%61lt=json', 'scopes=a', 'audience=a', 'format=full', 'x=y'],
  ...[
    'wait_for_change=true',
    'wait%5ffor_change=true',
    'last_etag=NONE',
    'last_etag=0',
    'timeout_sec=0',
    'timeout_sec=60',
  ],
);
const query = fc.array(pair, { maxLength: 4 }).map((pairs) => (pairs.length === 0 ? '' : `?${pairs.join('&')}`));

const hiding = secret.chain(([path, value]) =>
  fc.record({
    value: fc.constant(value),
    path: fc.constant(path),
    pattern: patternsFor(path),
    by: fc.constantFrom('MetadataPolicy', 'ClusterMetadataPolicy'),
    legacyEndpoints: fc.constantFrom('Allow', 'Deny'),
    target: fc.tuple(spellingsOf(path), query).map((parts) => parts.join('')),
  }),
);

/** Everything else is as open as it can be: revealed, privileged, legacy endpoints and all. */
function subjectOf(pattern: string, by: string, legacyEndpoints: 'Allow' | 'Deny'): PolicySubject {
  const open = cmdp('open', { profile: 'Privileged', reveal: ['**'], legacyEndpoints });
  const conceal = { conceal: [pattern] };
  const hide = by === 'MetadataPolicy' ? mdp('hide', conceal) : cmdp('hide', conceal);
  return subject([open, hide], identity, { platform: 'None', emulated });
}

describe('a value that a policy conceals', () => {
  it('is in no answer, whatever the ancestor, the name of the account, the encoding, the API and the query', () => {
    const seen = { accepted: 0, answered: 0, legacy: 0, waiting: 0 };
    fc.assert(
      fc.property(hiding, ({ pattern, by, legacyEndpoints, target, value, path }) => {
        const asked = subjectOf(pattern, by, legacyEndpoints);
        assert.equal(evaluatorOf(asked).evaluate(path).kind, 'conceal', pattern);
        const parsed = parseRequest(get(target));
        if (parsed.kind === 'rejected') return;
        const body = bodyOfTarget(asked, target);
        assert.ok(!body.includes(value), `${target}: ${body}`);
        seen.accepted += 1;
        if (body.includes('leaf-') || body.includes('/\n')) seen.answered += 1;
        if (parsed.request.version === 'legacy') seen.legacy += 1;
        if (parsed.request.query.waitForChange === true) seen.waiting += 1;
      }),
      { numRuns: 20_000 },
    );
    // Silence means something only where there was much to say.
    for (const [what, count] of Object.entries(seen)) assert.ok(count > 200, `${what}: ${count}`);
  });

  it('is in many of these answers where no policy conceals it', () => {
    let shown = 0;
    fc.assert(
      fc.property(hiding, ({ target, value }) => {
        if (parseRequest(get(target)).kind === 'rejected') return;
        if (bodyOfTarget(subjectOf('nothing', 'MetadataPolicy', 'Allow'), target).includes(value)) shown += 1;
      }),
      { numRuns: 5_000 },
    );
    assert.ok(shown > 100, String(shown));
  });
});
