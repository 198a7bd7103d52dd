/**
 * The metadata protocol on both platforms: emulated, and passed through to a VM's server. Every row over a raw
 * connection to a real listener; both platforms must give the same bytes but for the date, tokens and ETags.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { EmulatedInstance } from '../../operator/core/snapshot/types.ts';
import { settle } from '../fakes/timers.ts';
import { pods, Stage } from '../security/harness.ts';
import { readReplies, type RawReply } from '../security/replies.ts';
import { issued, nodeSettings } from '../unit/proxy/support.ts';
import { email, groups, v1, type Expected, type Row } from './protocol-rows.ts';

const emulated: EmulatedInstance = {
  ...nodeSettings().emulated,
  hostname: 'node-1.europe-west4-a.c.test-project.internal',
  attributes: { 'kube-env': 'SECRET: 1' },
};
const attributes = {
  'cluster-location': 'europe-west4',
  'cluster-name': 'cluster',
  'cluster-uid': 'cluster-uid',
  'kube-env': 'SECRET: 1',
};
const vm = {
  projectId: 'test-project',
  numericProjectId: '123456789012',
  id: '9007199254740993123',
  name: 'node-1',
  attributes,
};

type PlatformName = 'None' | 'GCE';
const platforms = ['None', 'GCE'] as const;

async function startStage(platform: PlatformName): Promise<Stage> {
  const stage = await Stage.start({ settings: { platform, emulated } });
  stage.gce.update(vm);
  return stage;
}

function requestOf({ target, lines }: Row, method: string): string {
  const headers = lines ?? ['Host: metadata.google.internal', 'Metadata-Flavor: Google'];
  return [`${method} ${target} HTTP/1.1`, ...headers, '', ''].join('\r\n');
}

async function ask(stage: Stage, row: Row, method = row.method ?? 'GET'): Promise<RawReply> {
  const { replies } = await stage.send(requestOf(row, method), { from: pods[row.from ?? 'bound'] });
  const [reply, ...more] = replies;
  assert.ok(reply !== undefined && more.length === 0, 'exactly one reply');
  return reply;
}

function matches(actual: string | undefined, expected: string | RegExp | undefined, what: string): void {
  if (expected instanceof RegExp) assert.match(actual ?? '', expected, what);
  else assert.equal(actual, expected, what);
}

/** Holds for every reply, whatever it says. */
function checkEvery({ status, headers, body }: RawReply): void {
  assert.ok(headers.has('date') && headers.has('content-type'), 'Date and Content-Type');
  assert.equal(headers.get('content-length'), String(Buffer.byteLength(body)), 'Content-Length');
  assert.ok(status < 400 || body !== '', 'a refusal says something');
  const isMissing = headers.get('x-metaveil-code') === 'missing-metadata-flavor';
  assert.equal(headers.get('metadata-flavor'), isMissing ? undefined : 'Google', 'Metadata-Flavor');
  assert.equal(headers.get('server'), isMissing ? undefined : 'Metadata Server for VM', 'Server');
  if (status === 503 || status === 429) assert.match(headers.get('retry-after') ?? '', /^[1-9][0-9]*$/, 'Retry-After');
}

function hostOf({ lines = [] }: Row): string {
  return lines.find((line) => line.startsWith('Host: '))?.slice('Host: '.length) ?? 'metadata.google.internal';
}

function check(reply: RawReply, expected: Expected, row: Row): void {
  checkEvery(reply);
  assert.equal(reply.status, expected.status, reply.body);
  matches(reply.body, expected.body, 'body');
  matches(reply.headers.get('content-type'), expected.type, 'Content-Type');
  const location = expected.location === undefined ? undefined : `http://${hostOf(row)}${expected.location}`;
  assert.equal(reply.headers.get('location'), location, 'Location');
  for (const [name, value] of Object.entries(expected.headers ?? {})) matches(reply.headers.get(name), value, name);
}

function withoutDate({ headers }: RawReply): readonly (readonly [string, string])[] {
  return [...headers].filter(([name]) => name !== 'date');
}

/** What must be the same on both platforms. */
function comparable({ status, headers, body }: RawReply): unknown {
  const own = new Map(headers);
  own.delete('date');
  if (own.has('etag')) own.set('etag', 'any');
  const hidden = body.replaceAll(/pod-token-canary-[a-z0-9-]+/g, 'TOKEN');
  if (hidden !== body) own.delete('content-length');
  return { status, headers: [...own], body: hidden };
}

describe('the metadata protocol, emulated and passed through', () => {
  const stages = new Map<PlatformName, Stage>();
  const stageOf = (platform: PlatformName): Stage => {
    const stage = stages.get(platform);
    if (stage === undefined) throw new Error('not started');
    return stage;
  };
  before(async () => {
    for (const platform of platforms) stages.set(platform, await startStage(platform));
  });
  after(async () => {
    for (const stage of stages.values()) await stage.stop();
  });

  for (const [group, rows] of Object.entries(groups)) {
    describe(group, () => {
      for (const row of rows) {
        it(row.title, async () => {
          const none = await ask(stageOf('None'), row);
          const gce = await ask(stageOf('GCE'), row);
          check(none, row.expected, row);
          check(gce, { ...row.expected, ...row.onGce }, row);
          const isWhole =
            row.onGce === undefined && !(row.expected.body instanceof RegExp && row.target.includes('/?recursive'));
          if (isWhole) assert.deepEqual(comparable(gce), comparable(none));
        });
      }
    });
  }

  describe('HEAD', () => {
    const asked = [
      '/',
      `${v1}/`,
      `${v1}/instance`,
      `${v1}/project/project-id`,
      `${v1}/nothing`,
      `${v1}/instance/attributes/kube-env`,
    ];
    for (const platform of platforms) {
      it(`on ${platform} is GET without its body: same status, same headers, Content-Length too`, async () => {
        const targets = [...asked, `${v1}/instance/service-accounts/default/token`, `${v1}/?recursive=true`];
        for (const target of targets) {
          const row = { title: '', target, expected: { status: 0 } };
          const get = await ask(stageOf(platform), row, 'GET');
          const head = await ask(stageOf(platform), row, 'HEAD');
          assert.equal(head.body, '', target);
          assert.deepEqual([head.status, withoutDate(head)], [get.status, withoutDate(get)], target);
        }
      });
    }
  });

  describe('what is refused for a time', () => {
    for (const platform of platforms) {
      it(`on ${platform}: an unknown pod is held for 2 s, then told to come again`, async () => {
        const stage = stageOf(platform);
        const held = await hold(stage, `${v1}/project/project-id`, pods.stranger);
        await stage.node.timers.advance(2_000);
        const reply = await held.reply();
        checkEvery(reply);
        assert.deepEqual([reply.status, reply.headers.get('x-metaveil-code')], [503, 'unknown-workload']);
        assert.equal(reply.body, 'The calling pod is not known yet. Try again.');
      });
    }
  });
});

interface Held {
  readonly reply: () => Promise<RawReply>;
  /** Whether an answer is there already. */
  readonly isAnswered: () => boolean;
}

/** Sends a request whose answer waits, on a connection of its own. */
async function hold(stage: Stage, target: string, from: string = pods.bound): Promise<Held> {
  const connection = await stage.open(from);
  const held = stage.node.held();
  connection.send(requestOf({ title: '', target, expected: { status: 0 } }, 'GET'));
  await held;
  await settle();
  return {
    isAnswered: () => connection.received !== '',
    reply: async () => {
      await connection.until('\r\n\r\n');
      for (;;) {
        const [reply] = readReplies(connection.received).replies;
        if (reply !== undefined) {
          connection.socket.end();
          await connection.ended;
          await settle();
          stage.observe();
          return reply;
        }
        await new Promise((resolve) => connection.socket.once('data', resolve));
      }
    },
  };
}

describe('wait_for_change', () => {
  const clusterName = `${v1}/instance/attributes/cluster-name`;
  const nodes: readonly (readonly [what: string, target: string, changed: RegExp])[] = [
    ['a value', clusterName, /^other$/],
    ['a value as JSON', `${clusterName}?alt=json`, /^"other"$/],
    ['a listing', `${v1}/instance/attributes/`, /^cluster-location\ncluster-name\ncluster-uid\ncreated-by\n$/],
    ['a document', `${v1}/instance/attributes/?recursive=true`, /"cluster-name":"other".*"created-by":"group"/],
    ['the document of the root', `${v1}/?recursive=true`, /"cluster-name":"other"/],
    ['the same as text', `${v1}/?recursive=true&alt=text`, /instance\/attributes\/cluster-name other\n/],
  ];
  const waiting = (target: string, more = ''): string =>
    `${target}${target.includes('?') ? '&' : '?'}wait_for_change=true${more}`;

  /** One value is another, and there is a new one. */
  function change(stage: Stage, platform: PlatformName): void {
    const changed = {
      ...emulated,
      clusterName: 'other',
      attributes: { ...emulated.attributes, 'created-by': 'group' },
    };
    if (platform === 'None') stage.place({ settings: { platform, emulated: changed } });
    else stage.gce.update({ attributes: { ...attributes, 'cluster-name': 'other', 'created-by': 'group' } });
  }

  function changeBack(stage: Stage, platform: PlatformName): void {
    if (platform === 'None') stage.place({ settings: { platform, emulated } });
    else stage.gce.update({ attributes });
  }

  for (const platform of platforms) {
    describe(`on ${platform}`, () => {
      let stage: Stage;
      before(async () => {
        stage = await startStage(platform);
      });
      after(async () => {
        await settle();
        stage.observe();
        await stage.stop();
      });
      const get = (target: string) => ask(stage, { title: '', target, expected: { status: 200 } });
      const etagOf = async (target: string): Promise<string> => (await get(target)).headers.get('etag') ?? '';

      for (const [what, target, changed] of nodes) {
        for (const how of ['without an ETag', 'with the current one']) {
          it(`${what}, ${how}: held until it changes`, async () => {
            const etag = await etagOf(target);
            const held = await hold(stage, waiting(target, how === 'without an ETag' ? '' : `&last_etag=${etag}`));
            assert.equal(held.isAnswered(), false);
            change(stage, platform);
            const reply = await held.reply();
            checkEvery(reply);
            assert.match(reply.body, changed);
            assert.notEqual(reply.headers.get('etag'), etag);
            assert.equal(
              reply.headers.get('etag'),
              await etagOf(target),
              'the ETag to wait with is that of a plain reply',
            );
            changeBack(stage, platform);
          });
        }

        it(`${what}, with a stale ETag, NONE, or an empty one: at once`, async () => {
          const now = await get(target);
          for (const etag of ['0123456789abcdef', 'NONE', '']) {
            const reply = await get(waiting(target, `&last_etag=${etag}&timeout_sec=60`));
            assert.deepEqual([reply.status, reply.body], [200, now.body], etag);
          }
        });

        it(`${what}, with timeout_sec: the same answer after that time`, async () => {
          const now = await get(target);
          const etag = now.headers.get('etag') ?? '';
          const held = await hold(stage, waiting(target, `&last_etag=${etag}&timeout_sec=3`));
          await stage.node.timers.advance(2_900);
          assert.equal(held.isAnswered(), false);
          await stage.node.timers.advance(100);
          const reply = await held.reply();
          assert.deepEqual([reply.status, reply.body, reply.headers.get('etag')], [200, now.body, etag]);
        });
      }

      it('what is refused is refused at once', async () => {
        for (const [target, status] of [
          [`${v1}/instance/attributes/kube-env`, 403],
          [`${v1}/instance/nothing`, 404],
          [`${v1}/instance`, 301],
        ] as const) {
          assert.equal((await get(waiting(target))).status, status, target);
        }
      });
    });
  }
});

describe('tokens over time', () => {
  for (const platform of platforms) {
    it(`on ${platform}: expires_in is a whole number and at least 330, up to the last moment`, async () => {
      const stage = await startStage(platform);
      const { node } = stage;
      const hour = 3_600_000;
      let calls = 0;
      node.tokens.policy = () => issued(`pod-token-canary-hour-${(calls += 1)}`, node.timers.now() + hour);
      const target = `${v1}/instance/service-accounts/${email}/token?scopes=openid`;
      for (const passed of [0, 3_269_000, 2_000, 600_000, 2_669_000, 1_000, hour]) {
        await node.timers.advance(passed);
        stage.observe();
        const { body } = await ask(stage, { title: '', target, expected: { status: 200 } });
        const token = JSON.parse(body) as { access_token: string; expires_in: number; token_type: string };
        assert.deepEqual(Object.keys(token), ['access_token', 'expires_in', 'token_type']);
        assert.ok(Number.isInteger(token.expires_in) && token.expires_in >= 330, String(token.expires_in));
        assert.equal(token.token_type, 'Bearer');
      }
      assert.ok(calls > 1, 'it was renewed');
      await stage.stop();
    });
  }
});

describe('while others are away', () => {
  it("without a controller, static values and the root are there; a token is 503, or the pod's last one", async () => {
    for (const platform of platforms) {
      const stage = await startStage(platform);
      stage.node.tokens.policy = () => ({ kind: 'refused', refusal: { kind: 'unavailable', retryAfterMs: 4_000 } });
      const get = (target: string) => ask(stage, { title: '', target, expected: { status: 200 } });
      assert.equal((await get('/')).status, 200);
      assert.equal((await get(`${v1}/project/project-id`)).body, 'test-project');
      assert.equal((await get(`${v1}/instance/service-accounts/default/token`)).status, 200, 'the one it has');
      const other = await get(`${v1}/instance/service-accounts/default/token?scopes=openid`);
      checkEvery(other);
      assert.deepEqual([other.status, other.headers.get('retry-after')], [503, '4']);
      await stage.stop();
    }
  });

  it("without the VM's server, the root and the own account are there", async () => {
    const stage = await startStage('GCE');
    await stage.gce.close();
    const get = (target: string) => ask(stage, { title: '', target, expected: { status: 200 } });
    assert.equal((await get('/')).status, 200);
    assert.equal((await get(`${v1}/instance/service-accounts/default/email`)).body, email);
    assert.equal((await get(`${v1}/instance/service-accounts/default/token`)).status, 200);
    await stage.stop();
  });
});

describe("Google's own refusals", () => {
  const refused = (status: number) => ({
    kind: 'refused' as const,
    refusal: {
      kind: 'google-refused' as const,
      status,
      reason: 'Permission iam.serviceAccounts.getAccessToken denied',
    },
  });
  for (const platform of platforms) {
    it(`on ${platform}: a token is 403 with Google's reason, an identity token 404`, async () => {
      const stage = await startStage(platform);
      stage.node.tokens.policy = () => refused(403);
      const base = `${v1}/instance/service-accounts/default`;
      for (const [leaf, status] of [
        ['token?scopes=openid', 403],
        ['identity?audience=a', 404],
      ] as const) {
        const reply = await ask(stage, { title: '', target: `${base}/${leaf}`, expected: { status } });
        checkEvery(reply);
        assert.deepEqual([reply.status, reply.headers.get('x-metaveil-code')], [status, 'google-refused'], leaf);
        assert.match(reply.body, /^Google refused the request: .*getAccessToken denied/);
      }
      await stage.stop();
    });
  }
});
