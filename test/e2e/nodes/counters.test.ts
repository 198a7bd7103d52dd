/** What pods were denied, on its way from the node to the people: status of policies, events on pods, metrics. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { MetadataPolicyStatus } from '../../../operator/api/v1/index.ts';
import { metrics as definitions } from '../../../operator/telemetry/metrics.ts';
import { eventually } from '../../cluster/eventually.ts';
import { kubectlOk, type ControllerProcess } from '../installation.ts';
import { assertNothingLeaked, secretsIn } from './canary.ts';
import type { TestNode } from './node.ts';
import type { TenantPod } from './pod.ts';
import { Site, tenants } from './site.ts';

let site: Site;
let controller: ControllerProcess;
let node: TestNode;
/** Selected by the MetadataPolicy. */
let young: TenantPod;
/** Selected by the ClusterMetadataPolicy that allows the legacy APIs. */
let old: TenantPod;
const tokensSeen = new Set<string>();
/** Everything that was served at /metrics. */
const expositions: string[] = [];

/** 5 s until the node reports and 10 s until the status is written, on a busy machine. */
const countedWithinMs = 60_000;

const policies = {
  apiVersion: 'v1',
  kind: 'List',
  items: [
    {
      apiVersion: 'metaveil.dev/v1',
      kind: 'MetadataPolicy',
      metadata: { name: 'hide-zone', namespace: tenants },
      spec: { podSelector: { matchLabels: { age: 'young' } }, conceal: ['instance/zone'] },
    },
    {
      apiVersion: 'metaveil.dev/v1',
      kind: 'MetadataPolicy',
      metadata: { name: 'trial', namespace: tenants },
      spec: { mode: 'Audit', conceal: ['instance/hostname'] },
    },
    {
      apiVersion: 'metaveil.dev/v1',
      kind: 'ClusterMetadataPolicy',
      metadata: { name: 'old-clients' },
      spec: { podSelector: { matchLabels: { age: 'old' } }, legacyEndpoints: 'Allow' },
    },
  ],
};

before(async () => {
  site = await Site.open(['node-a']);
  controller = await site.startLeader({ podName: 'metaveil-controller-0' });
  await site.applyMetadataProxy();
  await site.bind('reports');
  node = await site.startNode('node-a');
  await site.apply(policies);
  young = await node.runPod('young', { serviceAccount: 'reports', labels: { age: 'young' } });
  old = await node.runPod('old', { serviceAccount: 'default', labels: { age: 'old' } });
});

after(async () => {
  await site[Symbol.asyncDispose]();
});

async function ask(pod: TenantPod, path: string, status: number): Promise<void> {
  const answer = await pod.get('', { path: path.startsWith('/') ? path : `/computeMetadata/v1/${path}` });
  assert.equal(answer.kind === 'reply' && answer.status, status, `${pod.name} ${path}`);
}

async function statusOf(kind: string, name: string): Promise<MetadataPolicyStatus> {
  const text = await kubectlOk(site.cluster, ['get', kind, name, '-n', tenants, '-o', 'json']);
  return (JSON.parse(text) as { status: MetadataPolicyStatus }).status;
}

const countersOf = ({ concealed, wouldConceal, legacy }: MetadataPolicyStatus) => [concealed, wouldConceal, legacy];

/** Waits for the counters `concealed, wouldConceal, legacy`, and says what they were instead. */
async function awaitCounters(kind: string, name: string, expected: readonly number[]): Promise<MetadataPolicyStatus> {
  let last: MetadataPolicyStatus | undefined;
  return eventually(
    `${kind} ${name} counts ${expected.join()}`,
    async () => {
      last = await statusOf(kind, name);
      return countersOf(last).join() === expected.join() ? last : undefined;
    },
    countedWithinMs,
  ).catch((error: unknown) => {
    throw new Error(`the last status was ${JSON.stringify(last)}`, { cause: error });
  });
}

async function measured(): Promise<readonly string[]> {
  const text = await controller.metrics();
  expositions.push(text);
  return text.split('\n');
}

describe('what pods are denied', () => {
  it('is counted in the status of the policies, and kubectl shows it', async () => {
    await eventually('the policies are in force', async () => {
      const answer = await young.get('instance/zone');
      return (answer.kind === 'reply' && answer.status === 403) || undefined;
    });
    const first = await statusOf('mdp', 'hide-zone');
    for (let request = 0; request < 20; request += 1) await ask(young, 'instance/zone', 403);
    await ask(young, 'instance/hostname', 200);
    await ask(young, 'instance/attributes/kube-env', 403);
    for (const path of [
      '/0.1/meta-data/instance-id',
      '/0.1/META-DATA/instance-id',
      '/computeMetadata/v1beta1/instance/id',
    ])
      await ask(young, path, 403);
    await ask(old, '/0.1/meta-data/hostname', 200);
    const { token } = await young.token();
    assert.notEqual(token, '');
    tokensSeen.add(token);
    const counted = await eventually(
      'all is counted',
      async () => {
        const status = await statusOf('mdp', 'hide-zone');
        return status.legacy === 3 ? status : undefined;
      },
      countedWithinMs,
    );
    // The requests that found out that the policy is in force are among them.
    assert.ok((counted.concealed ?? 0) >= 21, JSON.stringify(counted));
    assert.equal(counted.countersSince, first.countersSince);
    await awaitCounters('mdp', 'trial', [0, 2, 4]);
    await awaitCounters('cmdp', 'old-clients', [0, 0, 1]);
    const wide = await kubectlOk(site.cluster, ['get', 'mdp', '-n', tenants, '-o', 'wide']);
    assert.match(wide, new RegExp(`^hide-zone\\s.*\\s${counted.concealed ?? ''}\\s+0\\s*$`, 'mu'));
  });

  it('on a legacy endpoint is an event on the pod, which names the v1 path', async () => {
    const events = await eventually('an event for each', async () => {
      const query = ['get', 'events', '-n', tenants, '--field-selector', 'reason=LegacyMetadataEndpoint', '-o', 'json'];
      const { items } = JSON.parse(await kubectlOk(site.cluster, query)) as {
        readonly items: readonly { type: string; message: string; involvedObject: { kind: string; uid: string } }[];
      };
      return items.length >= 2 ? items : undefined;
    });
    const about = events.map(({ type, involvedObject }) => `${type} ${involvedObject.kind} ${involvedObject.uid}`);
    assert.deepEqual(about.sort(), [`Normal Pod ${old.uid}`, `Warning Pod ${young.uid}`]);
    const messages = events.map(({ message }) => message).join('\n');
    assert.match(messages, /instance\/id, which is denied\. Use \/computeMetadata\/v1\/instance\/id with/u);
    assert.match(
      messages,
      /instance\/hostname, which is allowed for now\. Use \/computeMetadata\/v1\/instance\/hostname /u,
    );
    const advice = (event: string) => node.proxy?.logged(event).map((line) => line['v1Path'] ?? '');
    assert.deepEqual(advice('legacy-allowed'), ['/computeMetadata/v1/instance/hostname']);
    assert.deepEqual(advice('request-denied')?.filter(Boolean), Array(3).fill('/computeMetadata/v1/instance/id'));
  });

  it('is in the metrics of the controller, with nothing that a pod could choose', async () => {
    const lines = await measured();
    const { concealed } = await statusOf('mdp', 'hide-zone');
    const place = `namespace="${tenants}"`;
    for (const line of [
      `metaveil_decisions_total{kind="MetadataPolicy",${place},policy="hide-zone",decision="concealed"} ${concealed ?? ''}`,
      `metaveil_decisions_total{kind="MetadataPolicy",${place},policy="trial",decision="would-conceal"} 2`,
      'metaveil_decisions_total{kind="ClusterMetadataPolicy",namespace="",policy="old-clients",decision="legacy"} 1',
      'metaveil_decisions_total{kind="MetadataProxy",namespace="",policy="default",decision="concealed"} 1',
      `metaveil_legacy_requests_total{${place},service_account="reports",endpoint="instance/id",decision="denied"} 3`,
      `metaveil_legacy_requests_total{${place},service_account="default",endpoint="instance/hostname",decision="allowed"} 1`,
      'metaveil_node_api_sessions 1',
      'metaveil_leader 1',
    ])
      assert.ok(
        lines.includes(line),
        `${line}\nis not in\n${lines.filter((each) => each.startsWith('metaveil')).join('\n')}`,
      );
    const issued = /^metaveil_token_requests_total\{kind="access",outcome="issued"\} [1-9]/mu;
    assert.match(lines.join('\n'), issued);
    assert.match(lines.join('\n'), /^metaveil_reconcile_queue_depth\{controller="bindings"\} \d+$/mu);
    const names = lines.flatMap((line) => /^([a-zA-Z_:]+)/u.exec(line)?.[1] ?? []);
    const unknown = names.filter((name) => !Object.hasOwn(definitions, name) && !/^(?:process|nodejs)_/u.test(name));
    assert.deepEqual(unknown, []);
    for (const chosen of [young.name, young.uid, old.uid, '10.', 'META-DATA'])
      assert.ok(!lines.some((line) => line.startsWith('metaveil_') && line.includes(`"${chosen}`)), chosen);
  });
});

describe('the counters', () => {
  it('take in what an ending proxy had not reported yet', async () => {
    const [concealed = 0, , legacy = 0] = countersOf(await statusOf('mdp', 'hide-zone'));
    for (let request = 0; request < 5; request += 1) await ask(young, 'instance/zone', 403);
    assert.equal(await node.endProxyPod(), 0);
    await awaitCounters('mdp', 'hide-zone', [concealed + 5, 0, legacy]);
    await node.startProxy();
  });

  it('go on under another leader', async () => {
    const before = await statusOf('mdp', 'hide-zone');
    const other = await site.startController({ podName: 'metaveil-controller-1' });
    await controller.stop('SIGTERM');
    site.service.lead(other.port);
    await other.leading();
    controller = other;
    await eventually(
      'the proxy watches the new leader',
      async () => {
        return (await measured()).includes('metaveil_node_api_sessions 1') || undefined;
      },
      countedWithinMs,
    );
    for (let request = 0; request < 3; request += 1) await ask(young, 'instance/zone', 403);
    const [concealed = 0, , legacy = 0] = countersOf(before);
    const after = await awaitCounters('mdp', 'hide-zone', [concealed + 3, 0, legacy]);
    assert.equal(after.countersSince, before.countersSince);
    const series = `metaveil_decisions_total{kind="MetadataPolicy",namespace="${tenants}",policy="hide-zone",decision="concealed"}`;
    await eventually('its metrics start from 0', async () => (await measured()).includes(`${series} 3`) || undefined);
  });
});

describe('what is written and served', () => {
  it('contains no token', async () => {
    await assertNothingLeaked(site, tokensSeen);
    assert.ok(expositions.length >= 3);
    assert.deepEqual(secretsIn(expositions.join('\n'), [...site.secrets, ...tokensSeen]), []);
  });
});
