/** With the credential of one node nothing of another is to be had (T17), and whoever is no proxy gets nothing at all. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { PodUid } from '../../../operator/core/brand.ts';
import { Gate } from '../../../operator/nodeapi/server/gate.ts';
import { methodNames, methods } from '../../../operator/nodeapi/wire/methods.ts';
import type { DecisionSummary } from '../../../operator/nodeapi/wire/calls.ts';
import type { RefusalCode } from '../../../operator/nodeapi/wire/errors.ts';
import { policy, settings, workload } from './resources.ts';
import { authenticated, Cluster, credential, rawCall, startReplica, twoNodes } from './world.ts';

interface Hostile {
  readonly who: string;
  readonly code: RefusalCode;
  readonly status: number;
  /** Authorization headers. */
  readonly credentialOf: (cluster: Cluster) => string | string[] | undefined;
}

const bearer = (token: string): string => `Bearer ${token}`;

/** A token of the proxy's form about which the API server says what `review` says. */
function reviewed(cluster: Cluster, claims: Parameters<typeof credential>[1], overrides: object = {}): string {
  cluster.proxy('proxy-a', 'node-a');
  const token = credential(cluster.clock, { salt: 'reviewed', ...claims });
  cluster.reviewer.reviews.set(token, authenticated('proxy-a', 'node-a', overrides));
  return bearer(token);
}

const extraOf = (values: Record<string, readonly string[]>): object => ({
  extra: Object.fromEntries(
    Object.entries(values).map(([key, value]) => [`authentication.kubernetes.io/${key}`, value]),
  ),
});
const good = { 'pod-uid': ['proxy-a'], 'node-name': ['node-a'], 'node-uid': ['uid-of-node-a'] };

const hostile: readonly Hostile[] = [
  { who: 'nobody', code: 'credential-missing', status: 401, credentialOf: () => undefined },
  {
    who: 'two credentials at once',
    code: 'credential-missing',
    status: 401,
    credentialOf: (c) => [bearer(c.proxy('proxy-a', 'node-a')), bearer(c.proxy('proxy-b', 'node-b'))],
  },
  { who: 'basic authentication', code: 'credential-missing', status: 401, credentialOf: () => 'Basic YTpi' },
  { who: 'a guessed token', code: 'credential-malformed', status: 401, credentialOf: () => bearer('a.b.c') },
  {
    who: 'a made-up token with the right claims',
    code: 'credential-rejected',
    status: 401,
    credentialOf: (c) => {
      c.proxy('proxy-a', 'node-a');
      return bearer(credential(c.clock, { salt: 'forged' }));
    },
  },
  {
    who: 'a token replayed after its pod is gone',
    code: 'pod-unknown',
    status: 403,
    credentialOf: (c) => {
      const token = c.proxy('proxy-a', 'node-a');
      c.pods.remove('proxy-a');
      return bearer(token);
    },
  },
  {
    who: 'a terminated pod',
    code: 'pod-unknown',
    status: 403,
    // The port finds no pod that has Succeeded or Failed.
    credentialOf: (c) => bearer(credential(c.clock, { podUid: 'proxy-finished' })),
  },
  {
    who: 'an expired token',
    code: 'credential-expired',
    status: 401,
    credentialOf: (c) => reviewed(c, { exp: Math.floor(c.clock.now() / 1000) }),
  },
  {
    who: 'a token for another audience',
    code: 'credential-malformed',
    status: 401,
    credentialOf: (c) => reviewed(c, { aud: ['https://kubernetes.default.svc'] }),
  },
  {
    who: "a user's ServiceAccount",
    code: 'not-the-proxy',
    status: 403,
    credentialOf: (c) => reviewed(c, { sub: 'system:serviceaccount:web:alpha' }),
  },
  {
    who: 'a ServiceAccount that claims to be the proxy and is not',
    code: 'not-the-proxy',
    status: 403,
    credentialOf: (c) => reviewed(c, {}, { username: 'system:serviceaccount:web:alpha' }),
  },
  {
    who: "the controller's own ServiceAccount",
    code: 'not-the-proxy',
    status: 403,
    credentialOf: (c) => reviewed(c, {}, { username: 'system:serviceaccount:metaveil-system:metaveil-controller' }),
  },
  {
    who: 'a foreign pod of our ServiceAccount',
    code: 'pod-unknown',
    status: 403,
    credentialOf: (c) => {
      const token = credential(c.clock, { podUid: 'foreign' });
      c.reviewer.reviews.set(token, authenticated('foreign', 'node-a'));
      return bearer(token);
    },
  },
  {
    who: 'a token without pod',
    code: 'not-bound-to-pod',
    status: 403,
    credentialOf: (c) => reviewed(c, {}, extraOf({ ...good, 'pod-uid': [] })),
  },
  {
    who: 'a token with two pods',
    code: 'not-bound-to-pod',
    status: 403,
    credentialOf: (c) => reviewed(c, {}, extraOf({ ...good, 'pod-uid': ['proxy-a', 'proxy-b'] })),
  },
  {
    who: 'a token made before the pod was scheduled',
    code: 'not-bound-to-pod',
    status: 403,
    credentialOf: (c) => reviewed(c, {}, extraOf({ 'pod-uid': ['proxy-a'] })),
  },
  {
    who: 'a pod whose token names another node',
    code: 'node-mismatch',
    status: 403,
    credentialOf: (c) => reviewed(c, {}, extraOf({ ...good, 'node-name': ['node-b'] })),
  },
  {
    who: 'a pod of a node that was deleted and made anew',
    code: 'node-replaced',
    status: 403,
    credentialOf: (c) => {
      const token = c.proxy('proxy-a', 'node-a');
      c.pods.add('proxy-a', 'node-a', 'another-uid');
      return bearer(token);
    },
  },
];

async function everyMethod(t: TestContext, { credentialOf, code, status }: Hostile): Promise<void> {
  const cluster = twoNodes();
  const { port } = await startReplica(t, cluster);
  const authorization = credentialOf(cluster);
  const headers = authorization === undefined ? {} : { authorization };
  for (const name of methodNames) {
    const { verb, path } = methods[name];
    const body = JSON.stringify({ workload: 'pod-alpha', wish: { kind: 'access', scopes: [] } });
    const answer = await rawCall(cluster, port, { verb, path, headers, ...(verb === 'POST' && { body }) });
    assert.equal(answer.status, status, name);
    assert.equal((answer.body as { code: string }).code, code, name);
  }
  assert.deepEqual(cluster.kubernetes.requests, []);
  assert.equal(cluster.log.of('nodeapi-watch-opened').length, 0);
  assert.deepEqual(
    cluster.log.of('nodeapi-call-refused').map((line) => line['code']),
    methodNames.map(() => code),
  );
}

describe('who is not a live proxy of ours on its node is refused every method', () => {
  for (const caller of hostile) it(`${caller.who}: ${caller.code}`, (t) => everyMethod(t, caller));
});

describe('what is not in the table of methods does not exist', () => {
  const proxyHeaders = (cluster: Cluster) => ({ authorization: bearer(cluster.proxy('proxy-a', 'node-a')) });

  for (const path of [
    '/',
    '/v1',
    '/v1/watch/',
    '/v1/../v1/token',
    '/v1/%74oken',
    '/V1/token',
    '//v1/token',
    '/v2/token',
  ])
    it(`${path} is unknown even to a proxy`, async (t) => {
      const cluster = twoNodes();
      const { port } = await startReplica(t, cluster);
      const answer = await rawCall(cluster, port, { verb: 'POST', path, headers: proxyHeaders(cluster), body: '{}' });
      assert.deepEqual([answer.status, (answer.body as { code: string }).code], [404, 'method-unknown']);
    });

  it('each method has one verb', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster);
    const headers = proxyHeaders(cluster);
    for (const name of methodNames)
      for (const verb of ['GET', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS'].filter((v) => v !== methods[name].verb)) {
        const answer = await rawCall(cluster, port, { verb, path: methods[name].path, headers });
        assert.equal(answer.status, 405, `${verb} ${name}`);
      }
  });
});

describe("node A's credential", () => {
  const wish = { kind: 'access', scopes: [] };
  const ask = async (t: TestContext, cluster: Cluster, pod: string) => {
    const { port } = await startReplica(t, cluster);
    const headers = { authorization: bearer(cluster.proxy('proxy-a', 'node-a')) };
    const body = JSON.stringify({ workload: pod, wish, node: 'node-b', nodeName: 'node-b', binding: 'binding-beta' });
    return rawCall(cluster, port, { verb: 'POST', path: '/v1/token', headers, body });
  };

  it('gets the token of its own pod', async (t) => {
    const cluster = twoNodes();
    const answer = await ask(t, cluster, 'pod-alpha');
    assert.equal(answer.status, 200);
    assert.equal((answer.body as { kind: string }).kind, 'issued');
    assert.deepEqual(
      cluster.kubernetes.requests.map((r) => r.boundTo),
      [{ kind: 'pod', name: 'alpha', uid: 'pod-alpha' }],
    );
  });

  for (const [whose, pod] of [
    ["another node's pod", 'pod-beta'],
    ['a guessed pod', 'pod-gamma'],
    ['its own proxy', 'proxy-a'],
    ['a name from the prototype', '__proto__'],
  ] as const)
    it(`gets the same answer for ${whose} as for none, and nobody is asked`, async (t) => {
      const cluster = twoNodes();
      const answer = await ask(t, cluster, pod);
      assert.deepEqual(answer.body, { kind: 'refused', refusal: { kind: 'unknown-workload' } });
      assert.deepEqual(cluster.kubernetes.requests, []);
      const [line] = cluster.log.of('nodeapi-token-refused');
      assert.deepEqual([line?.['node'], line?.['reason']], ['node-a', 'unknown-workload']);
    });

  it('gets nothing for a pod that has gone', async (t) => {
    const cluster = twoNodes();
    cluster.workloads.workloads.delete('pod-alpha');
    assert.deepEqual((await ask(t, cluster, 'pod-alpha')).body, {
      kind: 'refused',
      refusal: { kind: 'unknown-workload' },
    });
  });

  /** Reports as the proxy of node-a and returns what was believed, as `policy or pod, what, count`. */
  async function report(t: TestContext, cluster: Cluster, summary: DecisionSummary): Promise<readonly string[]> {
    const { port } = await startReplica(t, cluster);
    const headers = { authorization: bearer(cluster.proxy('proxy-a', 'node-a')) };
    const body = JSON.stringify({ sequence: 1, ...summary });
    assert.equal((await rawCall(cluster, port, { verb: 'POST', path: '/v1/report', headers, body })).status, 200);
    return cluster.counts.flatMap(({ proxyName, decisions, legacy }) => [
      ...decisions.map(({ policy, decision, count }) => `${policy?.name ?? proxyName} ${decision} ${count}`),
      ...legacy.map(({ workload: { name }, endpoint, access, count }) => `${name} ${endpoint} ${access} ${count}`),
    ]);
  }

  it('cannot count for policies that its node does not have', async (t) => {
    const cluster = twoNodes();
    cluster.snapshots.set('node-b', settings('node-b'), policy('of-b'));
    const counts = ['policy-of-b', 'policy-guessed', 'alpha', 'node', '__proto__', ''].map((uid) => ({
      policy: uid,
      decision: 'concealed' as const,
      count: 5,
    }));
    assert.deepEqual(await report(t, cluster, { counts }), ['default concealed 5']);
  });

  it('cannot count for workloads of another node, nor in words of its own', async (t) => {
    const cluster = twoNodes();
    const request = { endpoint: 'instance/id', access: 'denied', count: 1 } as const;
    const legacy = [
      ...['pod-beta', 'pod-guessed', 'node', 'policy-of-b'].map((uid) => ({ ...request, workload: uid as PodUid })),
      { ...request, workload: 'pod-alpha' as PodUid },
      { ...request, workload: 'pod-alpha' as PodUid, endpoint: 'x"}\nforged_total{a="b' },
    ];
    assert.deepEqual(await report(t, cluster, { counts: [], legacy }), [
      'alpha instance/id denied 1',
      'alpha other denied 1',
    ]);
  });

  it('counts nothing at all on a node that no MetadataProxy owns', async (t) => {
    const cluster = new Cluster();
    const counts = [{ policy: '', decision: 'concealed', count: 5 }] as const;
    assert.deepEqual(await report(t, cluster, { counts }), []);
  });

  it('counts for a pod and a policy that it had a moment ago, for a minute', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster);
    cluster.snapshots.set('node-a', settings('node-a'), workload('job'), policy('hide'));
    cluster.snapshots.set('node-a', settings('node-a'));
    const headers = { authorization: bearer(cluster.proxy('proxy-a', 'node-a')) };
    const counts = [{ policy: 'policy-hide', decision: 'legacy', count: 1 }];
    const legacy = [{ workload: 'pod-job', endpoint: '/', access: 'denied', count: 1 }];
    for (const [sequence, later] of [0, 60_000, 1].entries()) {
      cluster.clock.jump(later);
      const body = JSON.stringify({ sequence: sequence + 1, counts, legacy });
      await rawCall(cluster, port, { verb: 'POST', path: '/v1/report', headers, body });
    }
    assert.deepEqual(
      cluster.counts.map((each) => [each.decisions[0]?.policy?.name, each.legacy[0]?.workload.name]),
      [
        ['hide', 'job'],
        ['hide', 'job'],
      ],
    );
  });
});

describe('one node', () => {
  it('that reports the same twice is counted once', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster);
    const headers = { authorization: bearer(cluster.proxy('proxy-a', 'node-a')) };
    const counts = [{ policy: '', decision: 'concealed', count: 3 }];
    for (const sequence of [7, 7, 6, 8]) {
      const body = JSON.stringify({ sequence, counts });
      assert.equal((await rawCall(cluster, port, { verb: 'POST', path: '/v1/report', headers, body })).status, 200);
    }
    assert.equal(cluster.counts.length, 2);
  });

  it('that calls without end is slowed down, others are not', async () => {
    const cluster = twoNodes();
    const callers = new Map(
      ['a', 'b'].map((name) => {
        cluster.proxy(`proxy-${name}`, `node-${name}`);
        const pod = cluster.pods.find(`proxy-${name}` as PodUid);
        assert.ok(pod);
        return [name, { kind: 'proxy', pod, credentialExpiresAt: Number.MAX_SAFE_INTEGER } as const];
      }),
    );
    const gate = new Gate({
      authentication: {
        callerOf: ([name] = []) => Promise.resolve(callers.get(name ?? '') ?? { kind: 'nobody', code: 'pod-unknown' }),
      },
      leadership: { role: () => ({ kind: 'leader' }), onChange: () => () => undefined },
      protocols: { min: 1, max: 1 },
      clock: cluster.clock,
    });
    const call = (name: string) =>
      gate.admit({ verb: 'POST', target: '/v1/token', authorization: [name], protocols: '1-1' });
    for (let count = 0; count < 2000; count += 1) assert.equal((await call('a')).kind, 'admitted');
    const refused = await call('a');
    assert.ok(refused.kind === 'refused');
    assert.deepEqual([refused.refusal.code, refused.refusal.retryAfterMs], ['rate-limited', 10]);
    assert.equal((await call('b')).kind, 'admitted');
    cluster.clock.jump(10);
    assert.equal((await call('a')).kind, 'admitted');
  });
});

describe('requests that do not decode', () => {
  const bodies: readonly (readonly [string, string, number])[] = [
    ['not JSON', '{', 400],
    ['another shape', '[]', 400],
    ['no wish', '{"workload":"pod-alpha"}', 400],
    ['an unknown wish', '{"workload":"pod-alpha","wish":{"kind":"key"}}', 400],
    ['too many scopes', JSON.stringify({ workload: 'p', wish: { kind: 'access', scopes: Array(65).fill('s') } }), 400],
    ['too large', ' '.repeat(40_000), 413],
  ];
  for (const [what, body, status] of bodies)
    it(`${what}: ${status}`, async (t) => {
      const cluster = twoNodes();
      const { port } = await startReplica(t, cluster);
      const headers = { authorization: bearer(cluster.proxy('proxy-a', 'node-a')) };
      assert.equal((await rawCall(cluster, port, { verb: 'POST', path: '/v1/token', headers, body })).status, status);
      const chunked = { ...headers, 'transfer-encoding': 'chunked' };
      const again = await rawCall(cluster, port, { verb: 'POST', path: '/v1/token', headers: chunked, body });
      assert.equal(again.status, status);
    });

  it('no token appears in any line of the log', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster);
    const token = cluster.proxy('proxy-a', 'node-a');
    const headers = { authorization: bearer(token) };
    for (const pod of ['pod-alpha', 'pod-beta']) {
      const body = JSON.stringify({ workload: pod, wish: { kind: 'access', scopes: [] } });
      await rawCall(cluster, port, { verb: 'POST', path: '/v1/token', headers, body });
    }
    cluster.google.fail('google-permission-denied');
    const body = JSON.stringify({ workload: 'pod-alpha', wish: { kind: 'access', scopes: ['https://x/y'] } });
    await rawCall(cluster, port, { verb: 'POST', path: '/v1/token', headers, body });
    const log = cluster.log.lines.join('\n');
    assert.ok(cluster.log.of('nodeapi-exchange-failed').length === 1);
    assert.ok(!log.includes('SECRET'));
    assert.ok(!log.includes(token.split('.')[1] ?? ''));
  });
});
