/** Two nodes with a real proxy each: who gets which identity, and what a stolen node's credential is good for. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { nodeApiAudience, ownedLabels, proxyServiceAccount } from '../../../operator/core/names.ts';
import { eventually } from '../../cluster/eventually.ts';
import { Nodes, Pods } from '../../cluster/kinds.ts';
import { createNode } from '../../cluster/nodes.ts';
import { bindAndRun, finishPod, removePod } from '../../cluster/pods.ts';
import { kubectlOk, principalOf, type ControllerProcess } from '../installation.ts';
import { assertNothingLeaked } from './canary.ts';
import { claimsOf, resigned } from './forger.ts';
import type { TestNode } from './node.ts';
import type { TenantPod } from './pod.ts';
import { askForToken, readSnapshot, type RawReply } from './raw-node-api.ts';
import { emailOf, ownNamespace, Site, tenants } from './site.ts';

const audience = 'https://pipeline.example.com';

let site: Site;
let controller: ControllerProcess;
let nodeA: TestNode;
let nodeB: TestNode;
let podA: TenantPod;
let podB: TenantPod;
const tokensSeen = new Set<string>();

interface Status {
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly reason: string }[];
  readonly nodes: { readonly summary: string };
  readonly workloads?: number;
}

async function statusOf(kind: string, name: string): Promise<Status> {
  const text = await kubectlOk(site.cluster, ['get', kind, name, '-n', tenants, '-o', 'json']);
  return (JSON.parse(text) as { status: Status }).status;
}

function conditionOf(status: Status, type: string): string {
  const found = status.conditions.find((condition) => condition.type === type);
  return found === undefined ? '' : `${found.status} ${found.reason}`;
}

/** Waits for a status, and says what it was instead. */
async function awaitStatus(kind: string, name: string, summary: string, ready: string): Promise<Status> {
  let last: Status | undefined;
  return eventually(`${kind} ${name} says ${summary}, ${ready}`, async () => {
    last = await statusOf(kind, name);
    return last.nodes.summary === summary && conditionOf(last, 'Ready') === ready ? last : undefined;
  }).catch((error: unknown) => {
    throw new Error(`the last status was ${JSON.stringify(last)}`, { cause: error });
  });
}

async function gateOf(node: TestNode, type: string): Promise<string> {
  const { status } = await node.proxyPod();
  return status?.conditions?.find((condition) => condition.type === type)?.status ?? 'absent';
}

async function awaitGate(node: TestNode): Promise<void> {
  await eventually(`the gate on ${node.name} is open, and with it the pod Ready`, async () => {
    const gate = await gateOf(node, 'metaveil.dev/serving');
    return (gate === 'True' && (await gateOf(node, 'Ready')) === 'True') || undefined;
  });
}

before(async () => {
  site = await Site.open(['node-a', 'node-b', 'node-c']);
  controller = await site.startLeader();
});

after(async () => {
  await site[Symbol.asyncDispose]();
});

describe('a MetadataProxy and its proxies', () => {
  it('is Ready when the proxy of every node is connected, not before', async () => {
    await site.applyMetadataProxy();
    nodeA = await site.addNode('node-a');
    nodeB = await site.addNode('node-b');
    const waiting = await awaitStatus('mdproxy', 'default', '0/2', 'Unknown NodesNotConnected');
    assert.equal(conditionOf(waiting, 'Accepted'), 'True Accepted');
    await nodeA.startProxy();
    await awaitGate(nodeA);
    assert.equal(conditionOf(await statusOf('mdproxy', 'default'), 'Ready'), 'Unknown NodesNotConnected');
    assert.equal(await gateOf(nodeB, 'metaveil.dev/serving'), 'absent');
    await nodeB.startProxy();
    await awaitStatus('mdproxy', 'default', '2/2', 'True Ready');
  });

  it('opens the readiness gate of the pods whose instance serves', async () => {
    for (const node of [nodeA, nodeB]) await awaitGate(node);
  });

  it('counts for a binding the nodes that have acknowledged it', async () => {
    await site.bind('reports');
    await site.bind('pipeline');
    podA = await nodeA.runPod('reports-0', { serviceAccount: 'reports' });
    podB = await nodeB.runPod('pipeline-0', { serviceAccount: 'pipeline' });
    await nodeB.runPod('reports-1', { serviceAccount: 'reports' });
    const reports = await awaitStatus('wib', 'reports', '2/2', 'True Ready');
    assert.equal(conditionOf(reports, 'Programmed'), 'True Programmed');
    assert.equal(reports.workloads, 2);
    assert.equal((await awaitStatus('wib', 'pipeline', '1/1', 'True Ready')).workloads, 1);
  });
});

describe('an unmodified google-auth-library', () => {
  it('gets the identity of its own pod, on either node', async () => {
    const results = await Promise.all([podA, podB].map((pod) => pod.googleClient(audience)));
    const keys = createRemoteJWKSet(new URL(site.google.certificatesUrl));
    for (const [index, account] of ['reports', 'pipeline'].entries()) {
      const { accessToken, identityToken } = results[index] ?? assert.fail();
      assert.ok(accessToken.kind === 'had' && identityToken.kind === 'had', JSON.stringify(results[index]));
      for (const { value } of [accessToken, identityToken]) tokensSeen.add(value);
      const identity = site.google.whoIs(accessToken.value);
      assert.ok(identity?.kind === 'service-account');
      assert.equal(identity.email, emailOf(account));
      assert.equal(identity.issuedTo, principalOf(account, tenants));
      const { payload } = await jwtVerify(identityToken.value, keys, { audience });
      assert.equal(payload['email'], emailOf(account));
    }
  });
});

describe('a pod of another node', () => {
  it('is unknown to this proxy, whatever it asks for', async () => {
    const account = 'instance/service-accounts/default';
    const paths = [`${account}/token`, `${account}/email`, 'instance/zone'];
    const asTheLibrary = podB.googleClient(audience, nodeA.server);
    for (const answer of await Promise.all(paths.map((path) => podB.get(path, nodeA.server)))) {
      assert.ok(answer.kind === 'reply');
      assert.equal(answer.status, 503);
      assert.equal(answer.headers['x-metaveil-code'], 'unknown-workload');
      assert.equal(answer.headers['retry-after'], '1');
    }
    const { accessToken, identityToken } = await asTheLibrary;
    assert.deepEqual([accessToken.kind, identityToken.kind], ['failed', 'failed']);
    // Its own node answers all of it.
    for (const path of paths) {
      const answer = await podB.get(path);
      assert.equal(answer.kind === 'reply' && answer.status, 200, path);
    }
  });
});

describe("the credential of a node's proxy", () => {
  let credential: string;
  const ask = async (token: string, podUid: string): Promise<RawReply> =>
    askForToken({ port: controller.port, ca: await site.nodeApiCa() }, token, podUid);
  const assertUnknown = (reply: RawReply): void => {
    assert.deepEqual(reply, { status: 200, body: { kind: 'refused', refusal: { kind: 'unknown-workload' } } });
  };
  const assertRefused = (reply: RawReply, status: number, code: string): void => {
    assert.equal(reply.body['code'], code);
    assert.equal(reply.status, status);
  };
  /** The informer takes a moment; from then on the answer has to stay. */
  const awaitRefused = async (token: string, podUid: string, code: string): Promise<void> => {
    await eventually(`the node API answers ${code}`, async () => {
      return (await ask(token, podUid)).body['code'] === code || undefined;
    });
    assertRefused(await ask(token, podUid), 403, code);
  };

  before(async () => {
    credential = await nodeA.proxyToken();
  });

  it('gets the token of a pod on its node', async () => {
    const { status, body } = await ask(credential, podA.uid);
    assert.equal(status, 200);
    const { token } = body['issued'] as { readonly token: string };
    assert.equal(site.emailOf(token), emailOf('reports'));
    tokensSeen.add(token);
  });

  it('gets nothing of a pod on another node', async () => {
    assertUnknown(await ask(credential, podB.uid));
  });

  it('is shown the pods of its node and no others', async () => {
    const snapshot = await readSnapshot({ port: controller.port, ca: await site.nodeApiCa() }, credential);
    for (const own of [podA.uid, podA.name, emailOf('reports')]) assert.ok(snapshot.includes(own), own);
    for (const foreign of [podB.uid, podB.name, emailOf('pipeline')]) assert.ok(!snapshot.includes(foreign), foreign);
  });

  it('gets nothing for a guessed uid', async () => {
    for (const guess of [randomUUID(), podA.uid.toUpperCase(), ' ']) {
      const { body } = await ask(credential, guess);
      assert.ok(body['code'] === 'request-malformed' || body['kind'] === 'refused', JSON.stringify(body));
      assert.equal(body['issued'], undefined);
    }
  });

  it('gets nothing any more for a pod that has ended or is gone', async () => {
    const ended = await nodeA.runPod('ended', { serviceAccount: 'reports' });
    const gone = await nodeA.runPod('gone', { serviceAccount: 'reports' });
    for (const pod of [ended, gone]) {
      await eventually(`${pod.name} gets a token`, async () => ((await pod.token()).status === 200 ? true : undefined));
      assert.equal((await ask(credential, pod.uid)).body['kind'], 'issued');
    }
    await finishPod(site.cluster, ended);
    await removePod(site.cluster, gone);
    for (const pod of [ended, gone]) {
      await eventually(`${pod.name} is unknown`, async () => {
        return (await ask(credential, pod.uid)).body['kind'] === 'refused' || undefined;
      });
      assertUnknown(await ask(credential, pod.uid));
      await eventually(`the proxy does not know ${pod.name}`, async () => {
        return (await pod.token()).status === 503 || undefined;
      });
    }
  });

  it('is refused once it has expired, or when it is signed by somebody else', async () => {
    const claims = claimsOf(credential);
    const now = Math.floor(Date.now() / 1000);
    const signedLikeIt = await resigned(site.cluster, credential, { ...claims, exp: now + 60 });
    assert.equal((await ask(signedLikeIt, podA.uid)).body['kind'], 'issued', 'but for the time it would be good');
    const expired = await resigned(site.cluster, credential, {
      ...claims,
      iat: now - 700,
      nbf: now - 700,
      exp: now - 1,
    });
    assertRefused(await ask(expired, podA.uid), 401, 'credential-expired');
    const forged = await resigned('nobody', credential, { ...claims, exp: now + 60 });
    assertRefused(await ask(forged, podA.uid), 401, 'credential-rejected');
  });

  it('is refused with another audience', async () => {
    const { name, uid } = (await nodeA.proxyPod()).metadata;
    const account = { namespace: ownNamespace, name: proxyServiceAccount };
    const forTheApiServer = await site.cluster.token(account, { pod: { name, uid } });
    assertRefused(await ask(forTheApiServer, podA.uid), 401, 'credential-malformed');
    const forGoogle = await site.cluster.token(account, { audiences: ['//iam.googleapis.com/x'], pod: { name, uid } });
    assertRefused(await ask(forGoogle, podA.uid), 401, 'credential-malformed');
  });

  it("is not a user's ServiceAccount token, even with the right audience", async () => {
    const pod = { name: podA.name, uid: podA.uid };
    const token = await site.cluster.token(
      { namespace: tenants, name: 'reports' },
      { audiences: [nodeApiAudience], pod },
    );
    assertRefused(await ask(token, podA.uid), 403, 'not-the-proxy');
  });

  it("is not a token of the proxy's ServiceAccount for a pod that no controller made, or for no pod", async () => {
    const account = { namespace: ownNamespace, name: proxyServiceAccount };
    const { metadata } = await site.cluster.api.create(Pods, {
      // Without the other labels of a proxy: the DaemonSet would adopt the pod.
      metadata: { name: 'not-ours', namespace: ownNamespace, labels: { [ownedLabels.ownerName]: 'default' } },
      spec: { hostNetwork: true, serviceAccountName: account.name, containers: [{ name: 'main', image: 'none' }] },
    });
    await bindAndRun(site.cluster, metadata, { node: 'node-a' });
    const { name, uid } = metadata;
    const token = await site.cluster.token(account, { audiences: [nodeApiAudience], pod: { name, uid } });
    assertRefused(await ask(token, podA.uid), 403, 'pod-unknown');
    const unbound = await site.cluster.token(account, { audiences: [nodeApiAudience] });
    assertRefused(await ask(unbound, podA.uid), 401, 'credential-malformed');
  });

  it('is refused when its pod has ended or is gone, or its node was deleted or replaced', async () => {
    const nodeC = await site.addNode('node-c');
    const ended = await nodeC.proxyToken();
    const first = await nodeC.proxyPod();
    await eventually(
      'the proxy of node-c is accepted',
      async () => (await ask(ended, podA.uid)).status === 200 || undefined,
    );
    assertUnknown(await ask(ended, podA.uid));
    await finishPod(site.cluster, first.metadata, 'Failed');
    await awaitRefused(ended, podA.uid, 'pod-unknown');
    await removePod(site.cluster, first.metadata);

    const gone = await nodeC.proxyToken();
    const second = await nodeC.proxyPod();
    assert.notEqual(second.metadata.uid, first.metadata.uid);
    await eventually('its successor is accepted', async () => (await ask(gone, podA.uid)).status === 200 || undefined);
    await removePod(site.cluster, second.metadata);
    await awaitRefused(gone, podA.uid, 'pod-unknown');

    const left = await nodeC.proxyToken();
    await eventually('and the next one', async () => (await ask(left, podA.uid)).status === 200 || undefined);
    await site.cluster.api.delete(Nodes, { name: 'node-c' });
    await awaitRefused(left, podA.uid, 'pod-unknown');
    await createNode(site.cluster, 'node-c', { internalIP: nodeC.address });
    await awaitRefused(left, podA.uid, 'node-replaced');
    await site.cluster.api.delete(Nodes, { name: 'node-c' });
  });
});

describe('the end of a MetadataProxy', () => {
  it('lets every node leave, and is gone when the last pod is', async () => {
    await kubectlOk(site.cluster, ['delete', 'mdproxy', 'default', '--wait=false']);
    for (const node of [nodeA, nodeB]) {
      await eventually(
        `the pod on ${node.name} is to end`,
        async () => (await node.proxyPod()).metadata.deletionTimestamp,
      );
    }
    const held = await kubectlOk(site.cluster, ['get', 'mdproxy', 'default', '-o', 'jsonpath={.metadata.finalizers}']);
    assert.match(held, /metaveil\.dev\/metadata-proxy/);
    for (const node of [nodeA, nodeB]) {
      assert.equal(await node.endProxyPod(), 0);
      assert.deepEqual(
        node.proxy?.logged('leave-answered').map(({ reason }) => reason),
        ['released'],
      );
    }
    await kubectlOk(site.cluster, ['wait', '--for=delete', 'mdproxy/default', '--timeout=20s']);
  });
});

describe('what is written', () => {
  it('contains no token', async () => {
    await assertNothingLeaked(site, tokensSeen);
  });
});
