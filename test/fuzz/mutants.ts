/** Bugs that metadata proxies have had or could have, each planted in what is on trial: the fuzz must find every one. */
import type { PolicySubject } from '../../operator/core/policy/decision.ts';
import { evaluatorOf, type Evaluator } from '../../operator/core/policy/evaluate.ts';
import type { RawRequest } from '../../operator/core/request/canonical.ts';
import { deny } from '../../operator/core/request/denials.ts';
import { parseRequest } from '../../operator/core/request/parse.ts';
import { RequestHandler } from '../../operator/proxy/handler.ts';
import type { Reply } from '../../operator/proxy/replies.ts';
import type { PassedRequest } from '../../operator/proxy/upstream-answer.ts';
import { planUpstream, type UpstreamPlan } from '../../operator/proxy/upstream-question.ts';
import type { Trial } from './blocks.ts';
import type { MakeHandler } from './handler.ts';
import { product, type Side } from './memory.ts';
import type { World } from './reference.ts';
import { ownEmails } from './reference.ts';
import { subjectOf } from './worlds.ts';

export interface Mutant {
  readonly bug: string;
  readonly layer: 'memory' | 'handler';
  readonly trial: Trial;
}

function inMemory(bug: string, side: Partial<Side>): Mutant {
  return { bug, layer: 'memory', trial: { side: { ...product, ...side } } };
}

/** The parser sees another path than was sent. */
function withPath(bug: string, change: (path: string) => string): Mutant {
  return inMemory(bug, {
    parse: (raw) => {
      const question = raw.target.indexOf('?');
      const path = question === -1 ? raw.target : raw.target.slice(0, question);
      return parseRequest({ ...raw, target: change(path) + raw.target.slice(path.length) });
    },
  });
}

/** The parser sees other query parameters than were sent. */
function withQuery(bug: string, change: (pairs: readonly string[]) => readonly string[]): Mutant {
  return inMemory(bug, {
    parse: (raw) => {
      const [path = '', ...rest] = raw.target.split('?');
      const target = rest.length === 0 ? path : `${path}?${change(rest.join('?').split('&')).join('&')}`;
      return parseRequest({ ...raw, target });
    },
  });
}

/** Another pod, or other policies, are decided on. */
function withSubject(bug: string, change: (subject: PolicySubject) => PolicySubject): Mutant {
  return inMemory(bug, { evaluatorOf: (subject) => evaluatorOf(change(subject)) });
}

/** Decides on another path than the one that is then permitted. */
function decidingAs(bug: string, change: (segment: string) => string): Mutant {
  return inMemory(bug, {
    evaluatorOf: (subject): Evaluator => {
      const { account, evaluate } = evaluatorOf(subject);
      return {
        account,
        evaluate: (path, version) => {
          const honest = evaluate(path, version);
          const decision = evaluate(path.map(change), version);
          if (decision.kind === 'conceal' || honest.kind === 'reveal') return honest;
          return { ...decision, permit: { ...decision.permit, path } };
        },
      };
    },
  });
}

function withPlan(bug: string, plan: Side['plan']): Mutant {
  return inMemory(bug, { plan });
}

function unescaped(path: string): string {
  return path.replaceAll(/%([0-9A-Fa-f]{2})/g, (_escape, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

const keyOf = (pair: string): string => pair.split('=', 1)[0] ?? '';
const lastOfEach = (pairs: readonly string[]): readonly string[] =>
  pairs.filter((pair, index) => pairs.findLastIndex((other) => keyOf(other) === keyOf(pair)) === index);

const asked = (plan: UpstreamPlan, target: (asked: string) => string): UpstreamPlan =>
  plan.kind === 'ask' ? { ...plan, target: target(plan.target) } : plan;

/** Passes every request on with something of it changed. */
function passing(bug: string, change: (passed: PassedRequest, world: World) => PassedRequest): Mutant {
  const makeHandler: MakeHandler = (parts, world) => {
    const { passThrough } = parts;
    if (passThrough === undefined) return new RequestHandler(parts);
    const answer = passThrough.answer.bind(passThrough);
    passThrough.answer = (passed) => answer(change(passed, world));
    return new RequestHandler(parts);
  };
  return { bug, layer: 'handler', trial: { makeHandler } };
}

/** Answers a request like the one before it on its connection if `keyOf` says so. */
function remembering(bug: string, keyOfRequest: (raw: RawRequest) => string): Mutant {
  const makeHandler: MakeHandler = (parts) => {
    const handler = new RequestHandler(parts);
    let last: { readonly key: string; readonly reply: Reply | Promise<Reply> } | undefined;
    return {
      handle: (raw, connection) => {
        const key = keyOfRequest(raw);
        if (last?.key !== key) last = { key, reply: handler.handle(raw, connection) };
        return last.reply;
      },
    };
  };
  return { bug, layer: 'handler', trial: { makeHandler } };
}

const openTo = (world: World): Evaluator => evaluatorOf(subjectOf({ ...world, mode: 'Audit' }));

export const mutants: readonly Mutant[] = [
  withPath('decodes a path twice', (path) => unescaped(unescaped(path))),
  withPath('takes %2f for a slash', (path) => path.replaceAll(/%2f/gi, '/')),
  withPath('takes a backslash for a slash', (path) => path.replaceAll('\\', '/')),
  withPath('drops ;parameters of a segment', (path) => path.replaceAll(/;[^/]*/g, '')),
  withPath('merges slashes', (path) => path.replaceAll(/\/{2,}/g, '/')),
  withPath('resolves dot segments itself', (path) => path.replaceAll(/\/[^/.]+\/\.\.(?=\/)/g, '')),
  withPath('takes v1 in any case', (path) => path.replace(/^\/computemetadata\/v1\//i, '/computeMetadata/v1/')),
  withPath('takes another spelling of a legacy API for v1', (path) =>
    path.replace(/^\/computeMetadata\/V1BETA1\//, '/computeMetadata/v1/'),
  ),
  withQuery('lets the last of two values of a query key count', lastOfEach),
  withQuery('compares query keys before they are decoded', (pairs) =>
    pairs.filter((pair) => !keyOf(pair).includes('%')),
  ),
  decidingAs('compares concealed names with their case', (segment) => (/[A-Z]/.test(segment) ? 'Other' : segment)),
  decidingAs("takes the account's e-mail for another account", (segment) =>
    segment === ownEmails.bound ? 'other@example.com' : segment,
  ),
  withSubject("lets a namespace's policy reveal", (subject) => ({
    ...subject,
    policies: subject.policies.map((policy) => ({ ...policy, kind: 'ClusterMetadataPolicy' })),
  })),
  withSubject('forgets the profile of a namespace', (subject) => ({
    ...subject,
    policies: subject.policies.map(({ profile, ...policy }) =>
      policy.kind === 'ClusterMetadataPolicy' && profile !== undefined ? { ...policy, profile } : policy,
    ),
  })),
  withSubject('enforces audit policies', (subject) => ({
    ...subject,
    policies: subject.policies.map((policy) => ({ ...policy, mode: 'Enforce' })),
  })),
  withPlan('asks for a value where only names below it are revealed', (permit, request) =>
    planUpstream({ ...permit, extent: 'node' }, request),
  ),
  withPlan("sends the pod's query on", (permit, request, raw) =>
    asked(planUpstream(permit, request), (target) => `${target}&${raw.target.split('?')[1] ?? 'x'}`),
  ),
  withPlan('asks for what was sent, not for what was authorised', (permit, request, raw) =>
    asked(planUpstream(permit, request), () => raw.target),
  ),
  withPlan("asks the node for the pod's own account", (permit, request) =>
    planUpstream({ ...permit, origin: 'node' }, request),
  ),
  inMemory('denies everything', {
    parse: () => ({ kind: 'rejected', rejection: { denial: deny('concealed'), detail: 'always' } }),
  }),
  withPath('refuses an e-mail with its @ escaped', (path) => (path.includes('%40') ? '//' : path)),
  remembering('remembers the last reply of a connection by its path', ({ target }) => target.split('?')[0] ?? ''),
  remembering('remembers the last reply of a connection by its path in any case', ({ target }) => target.toLowerCase()),
  passing('does not filter documents', (passed, world) =>
    passed.request.query.recursive === true ? { ...passed, filter: openTo(world).evaluate } : passed,
  ),
  passing('does not filter listings', (passed, world) =>
    passed.request.query.recursive === true ? passed : { ...passed, filter: openTo(world).evaluate },
  ),
  passing("leaves the node's account in documents", (passed) => ({ ...passed, account: { kind: 'node' } })),
];
