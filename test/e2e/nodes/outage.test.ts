/** What is away for a while: the controller, the API server, Google. Known pods must not notice. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, it, type TestContext } from 'node:test';
import { concealedSentence } from '../../../operator/core/request/denials.ts';
import { eventually } from '../../cluster/eventually.ts';
import type { Sample } from '../../netns/agent-client.ts';
import type { ControllerProcess } from '../installation.ts';
import { assertNothingLeaked } from './canary.ts';
import type { TestNode } from './node.ts';
import { askForToken } from './raw-node-api.ts';
import { tokenOf, tokenPath, type TenantPod } from './pod.ts';
import { emailOf, Site } from './site.ts';

const zone = 'instance/zone';
const kubeEnv = 'instance/attributes/kube-env';
const everyMs = 25;

let site: Site;
let nodeA: TestNode;
let nodeB: TestNode;
let podA: TenantPod;
let podB: TenantPod;
let controller: ControllerProcess;
const tokensSeen = new Set<string>();
let podNumber = 0;

before(async () => {
  site = await Site.open(['node-a', 'node-b']);
  controller = await site.startLeader({ podName: 'metaveil-controller-0' });
  await site.applyMetadataProxy();
  await site.bind('reports');
  [nodeA, nodeB] = [await site.startNode('node-a'), await site.startNode('node-b')];
  podA = await nodeA.runPod('known-a', { serviceAccount: 'reports' });
  podB = await nodeB.runPod('known-b', { serviceAccount: 'reports' });
  for (const pod of [podA, podB]) await awaitToken(pod, 'reports');
});

after(async () => {
  await site[Symbol.asyncDispose]();
});

async function awaitToken(pod: TenantPod, account: string, timeoutMs = 20_000): Promise<void> {
  await eventually(
    `${pod.name} has a token of ${account}`,
    async () => {
      const { token } = await pod.token();
      if (token !== '') tokensSeen.add(token);
      return site.emailOf(token) === emailOf(account) || undefined;
    },
    timeoutMs,
  );
}

/** The pods ask for their token and for a value all the time while `outage` lasts; not one request may fail. */
async function unnoticed(pods: readonly TenantPod[], outage: () => Promise<void>): Promise<number> {
  const loops = await Promise.all(pods.flatMap((pod) => [tokenPath, zone].map((path) => pod.asking(path, everyMs))));
  try {
    await outage();
  } finally {
    await Promise.all(loops.map((loop) => loop.end()));
  }
  const samples = (await Promise.all(loops.map((loop) => loop.end()))).flat();
  assert.deepEqual(failures(samples), []);
  assert.ok(samples.length > 50, `only ${samples.length} requests`);
  return samples.length;
}

function failures(samples: readonly Sample[]): readonly string[] {
  const problems = samples.flatMap(({ answer }) => {
    if (answer.kind === 'error') return answer.code;
    if (answer.status !== 200) return `${answer.status} ${answer.body}`;
    const isToken = answer.body.startsWith('{');
    return isToken && site.emailOf(tokenOf(answer)) !== emailOf('reports') ? 'not its own token' : [];
  });
  return [...new Set(problems)];
}

interface FirstToken {
  readonly pod: TenantPod;
  /** From the moment its address was in the API, in ms. */
  readonly ms: number;
}

/** A new pod whose program asks from its first moment on. */
async function runNewPod(node: TestNode, account = 'reports', timeoutMs = 20_000): Promise<FirstToken> {
  podNumber += 1;
  const { pod, run } = await node.createPod(`new-${podNumber}`, { serviceAccount: account });
  // Its program is there.
  await pod.get(zone, { timeoutMs: 100 });
  await run();
  const since = Date.now();
  await awaitToken(pod, account, timeoutMs);
  return { pod, ms: Date.now() - since };
}

async function newPodsGetTokens(context: TestContext): Promise<void> {
  for (const node of [nodeA, nodeB]) {
    const { ms } = await runNewPod(node);
    context.diagnostic(`a new pod on ${node.name} had its first token ${ms} ms after its address`);
  }
}

/** A pod that starts while Google is away: it is told to come again, and soon enough for any client. */
async function runUnserved(account: string, context: TestContext): Promise<TenantPod> {
  await site.bind(account);
  const pod = await nodeA.runPod(account, { serviceAccount: account });
  const since = Date.now();
  const answer = await pod.get(tokenPath, { timeoutMs: 15_000 });
  context.diagnostic(`the new pod was told to come again after ${Date.now() - since} ms`);
  assert.ok(answer.kind === 'reply');
  assert.equal(answer.status, 503);
  assert.match(answer.headers['retry-after'] ?? '', /^[1-9]$/);
  assert.equal(answer.headers['x-metaveil-code'], 'token-unavailable');
  return pod;
}

async function awaitConnected(replica: ControllerProcess, timeoutMs: number): Promise<void> {
  await eventually(
    'both proxies watch the leader',
    () => Promise.resolve(replica.logged('nodeapi-watch-opened').length >= 2 || undefined),
    timeoutMs,
  );
}

describe('a new pod', () => {
  it('has its token soon after its address is known', async (context) => {
    await newPodsGetTokens(context);
  });
});

describe('Google away', () => {
  const faults = {
    'an STS that hangs': { kind: 'hang' },
    'an STS that answers 503': { kind: 'reply', status: 503 },
  } as const;

  for (const [name, fault] of Object.entries(faults)) {
    it(`is not noticed by known pods, and is over for new ones when it is over: ${name}`, async (context) => {
      const account = `late-${fault.kind}`;
      const count = await unnoticed([podA, podB], async () => {
        site.google.faults.inject('sts', fault);
        const late = await runUnserved(account, context).finally(() => site.google.faults.clear());
        const over = Date.now();
        await awaitToken(late, account);
        context.diagnostic(`it had its token ${Date.now() - over} ms after the fault was gone`);
      });
      context.diagnostic(`0 of ${count} requests of known pods failed`);
      site.assertAllRunning();
    });
  }
});

describe('the API server away', () => {
  it('is not noticed by known pods, even when the leader loses its Lease over it', async (context) => {
    const count = await unnoticed([podA, podB], async () => {
      await site.cluster.stopApiServer();
      await eventually('the leader knows', () => Promise.resolve(controller.logged('controller-following')[0]));
      await site.cluster.startApiServer();
      const since = Date.now();
      await newPodsGetTokens(context);
      const ms = Date.now() - since;
      context.diagnostic(`new pods had tokens ${ms} ms after the API server was back`);
      // Watches and proxies try again every few seconds, however long it was away.
      assert.ok(ms < 15_000);
      assert.equal(controller.logged('controller-leading').length, 2, 'it leads again');
    });
    context.diagnostic(`0 of ${count} requests of known pods failed`);
    site.assertAllRunning();
  });
});

describe('the controller killed', () => {
  it('is not noticed by known pods; a proxy that restarts meanwhile still serves values and conceals', async (context) => {
    const memory = [nodeA, nodeB].map(({ proxy }) => proxy?.anonymousBytes() ?? 0);
    const token = await nodeB.proxyToken();
    const count = await unnoticed([podA], async () => {
      await unnoticed([podB], async () => {
        await controller.stop('SIGKILL');
        await delay(2_000);
      });
      await nodeB.proxy?.stop('SIGKILL');
      await nodeB.launchProxy(token);
      const answers = await Promise.all(
        [zone, kubeEnv, tokenPath].map((path) => podB.get(path, { timeoutMs: 15_000 })),
      );
      const said = answers.map((answer) => (answer.kind === 'reply' ? [answer.status, answer.body] : [answer.code]));
      assert.deepEqual(said.slice(0, 2), [
        [200, 'projects/123456789012/zones/europe-west4-a'],
        [403, concealedSentence],
      ]);
      assert.equal(said[2]?.[0], 503, nodeB.proxy?.output);
      controller = await site.startLeader({ podName: 'metaveil-controller-1' });
      const since = Date.now();
      await awaitConnected(controller, 35_000);
      context.diagnostic(`both proxies were back ${Date.now() - since} ms after there was a leader`);
      await awaitToken(podB, 'reports');
      await newPodsGetTokens(context);
    });
    context.diagnostic(`0 of ${count} requests of known pods failed`);
    site.assertAllRunning();
    const grown = (nodeA.proxy?.anonymousBytes() ?? 0) - (memory[0] ?? 0);
    context.diagnostic(`the proxy that stayed grew by ${Math.round(grown / 1024)} KiB`);
    // A young heap grows by itself; what is kept per try or per request would be more.
    assert.ok(grown < 32 << 20);
  });

  it('hands over to the other replica within the lease time; nobody notices', async (context) => {
    const other = await site.startController({ podName: 'metaveil-controller-2' });
    const count = await unnoticed([podA, podB], async () => {
      await controller.stop('SIGKILL');
      const killed = Date.now();
      site.service.lead(other.port);
      await other.leading();
      const ledAfter = Date.now() - killed;
      // The Lease lasts 15 s; candidates look every 2 s.
      assert.ok(ledAfter < 20_000, `the other replica led after ${ledAfter} ms`);
      await awaitConnected(other, 15_000);
      context.diagnostic(
        `the other replica led after ${ledAfter} ms, both proxies were back after ${Date.now() - killed} ms`,
      );
      controller = other;
      await newPodsGetTokens(context);
    });
    context.diagnostic(`0 of ${count} requests of known pods failed`);
    site.assertAllRunning();
  });
});

describe('a follower', () => {
  it('sends proxies on to the leader', async () => {
    const follower = await site.startController({ podName: 'metaveil-controller-3' });
    await eventually('the follower knows the leader', async () => {
      const { body } = await askForToken({ port: follower.port, ca: await site.nodeApiCa() }, 'x.y.z', podA.uid);
      return body['leader'] === controller.address || undefined;
    });
    // The Service leads to the follower only: a proxy that starts now can reach nobody else by itself.
    site.service.lead(follower.port);
    const token = await nodeB.proxyToken();
    await nodeB.proxy?.stop('SIGKILL');
    const proxy = await nodeB.launchProxy(token);
    const connected = await eventually('the proxy is connected', () =>
      Promise.resolve(proxy.logged('controller-connected')[0]),
    );
    assert.equal(connected['address'], controller.address);
    assert.equal(follower.logged('nodeapi-watch-opened').length, 0);
    assert.ok(follower.logged('nodeapi-call-refused').every(({ code }) => code === 'not-leader'));
    await awaitToken(podB, 'reports');
  });
});

describe('what is written', () => {
  it('contains no token', async () => {
    await assertNothingLeaked(site, tokensSeen);
  });
});
