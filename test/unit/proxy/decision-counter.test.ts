import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicySubject } from '../../../operator/core/policy/decision.ts';
import { evaluate } from '../../../operator/core/policy/evaluate.ts';
import type { PodUid } from '../../../operator/core/brand.ts';
import type { DecisionSummary } from '../../../operator/nodeapi/wire/calls.ts';
import { DecisionCounter, reportEveryMs } from '../../../operator/proxy/decision-counter.ts';
import { FakeTimers } from '../../fakes/timers.ts';
import { cmdp, mdp, subject, workload } from '../core/policy/subjects.ts';
import { accepted, get, v1 } from '../core/request/raw.ts';
import { Harness } from './harness.ts';
import * as node from './support.ts';

function counting() {
  const timers = new FakeTimers();
  const reports: DecisionSummary[] = [];
  const counter = new DecisionCounter({ report: (summary) => void reports.push(summary) }, timers);
  const ask = (asked: PolicySubject, target: string): void => {
    const request = accepted(get(target));
    const decision = evaluate(asked, request.path, request.version === 'legacy' ? 'legacy' : 'v1');
    counter.decided(decision, { request }, asked);
  };
  /** `decision policy count` of everything reported so far. */
  const counts = async (): Promise<readonly string[]> => {
    await timers.advance(reportEveryMs);
    const all = reports.flatMap((summary) => summary.counts);
    return all.map(({ policy, decision, count }) => `${decision} ${policy || '-'} ${count}`).sort();
  };
  return { timers, reports, counter, ask, counts };
}

describe('a decision is counted for', () => {
  const rows: readonly (readonly [what: string, asked: PolicySubject, target: string, counts: readonly string[]])[] = [
    [
      'the policy whose pattern conceals',
      subject([mdp('hide', { conceal: ['instance/id'] }), mdp('other', {})]),
      `${v1}instance/id`,
      ['concealed MetadataPolicy-hide 1'],
    ],
    [
      'the policy whose profile conceals',
      subject([mdp('tight', { profile: 'Restricted' }), mdp('other', { conceal: ['instance/id'] })]),
      `${v1}instance/tags`,
      ['concealed MetadataPolicy-tight 1'],
    ],
    ['nobody where the default profile conceals', subject(), `${v1}instance/attributes/kube-env`, ['concealed - 1']],
    [
      'an Audit policy that would conceal',
      subject([mdp('trial', { mode: 'Audit', conceal: ['instance/id'] })]),
      `${v1}instance/id`,
      ['would-conceal MetadataPolicy-trial 1'],
    ],
    [
      'the profile of an Audit MetadataProxy',
      subject([], undefined, { mode: 'Audit' }),
      `${v1}instance/attributes/kube-env`,
      ['would-conceal - 1'],
    ],
    [
      'every policy that selects the pod, where a legacy endpoint is asked',
      subject([mdp('one', {}), cmdp('two', { legacyEndpoints: 'Deny' })]),
      '/0.1/meta-data/instance-id',
      ['legacy ClusterMetadataPolicy-two 1', 'legacy MetadataPolicy-one 1'],
    ],
    ['nobody where no policy selects a pod that asks a legacy endpoint', subject(), '/0.1/', ['legacy - 1']],
    [
      'the legacy API and the policy, where it is open and the value concealed',
      subject([cmdp('open', { legacyEndpoints: 'Allow', conceal: ['instance/id'] })]),
      '/computeMetadata/v1beta1/instance/id',
      ['concealed ClusterMetadataPolicy-open 1', 'legacy ClusterMetadataPolicy-open 1'],
    ],
    ['no one where a value is served', subject([mdp('hide', { conceal: ['instance/tags'] })]), `${v1}instance/id`, []],
  ];
  for (const [what, asked, target, expected] of rows) {
    it(what, async () => {
      const { ask, counts } = counting();
      ask(asked, target);
      assert.deepEqual(await counts(), expected);
    });
  }
});

describe('legacy requests', () => {
  it('are counted per workload and endpoint, denied and allowed, in every spelling', () => {
    const { ask, counter, reports } = counting();
    const denied = subject();
    const allowed = subject([cmdp('old', { legacyEndpoints: 'Allow' })]);
    for (const target of [
      '/0.1/meta-data/instance-id',
      '/0.1/META-DATA/Instance-Id',
      '/computeMetadata/V1BETA1/instance/id',
    ])
      ask(denied, target);
    ask(allowed, '/0.1/meta-data/instance-id');
    ask(allowed, '/0.1/meta-data/no-such-thing/at/all');
    counter.close();
    assert.deepEqual(reports[0]?.legacy, [
      { workload: 'pod-1', endpoint: 'instance/id', access: 'denied', count: 3 },
      { workload: 'pod-1', endpoint: 'instance/id', access: 'allowed', count: 1 },
      { workload: 'pod-1', endpoint: 'other', access: 'allowed', count: 1 },
    ]);
  });

  it('of any number of pods to any number of endpoints make a bounded report that counts each', () => {
    const { ask, counter, reports } = counting();
    const targets = ['instance-id', 'hostname', 'zone', 'attributes/a', 'tags'];
    for (let pod = 0; pod < 300; pod += 1) {
      const asked = { ...subject(), workload: { ...workload(), uid: `pod-${pod}` as PodUid } };
      for (const target of targets) ask(asked, `/0.1/meta-data/${target}`);
    }
    counter.close();
    assert.equal(reports.length, 1);
    const legacy = reports[0]?.legacy ?? [];
    assert.ok(legacy.length <= 1024, `${legacy.length} counters`);
    assert.equal(
      legacy.reduce((sum, { count }) => sum + count, 0),
      1500,
    );
  });
});

describe('a report', () => {
  it('sums up seconds of decisions, and there is none without any', async () => {
    const { ask, timers, reports, counter } = counting();
    assert.deepEqual(timers.pending(), []);
    for (let request = 0; request < 1000; request += 1) ask(subject(), `${v1}instance/attributes/kube-env`);
    ask(subject(), `${v1}instance/id`);
    assert.deepEqual(timers.pending(), [reportEveryMs]);
    await timers.advance(reportEveryMs);
    assert.deepEqual(reports, [{ counts: [{ policy: '', decision: 'concealed', count: 1000 }] }]);
    await timers.advance(10 * reportEveryMs);
    counter.close();
    assert.equal(reports.length, 1);
  });

  it('counts a request once, however often it is decided while it waits', async () => {
    const { counter, counts } = counting();
    const asked = subject();
    const request = accepted(get(`${v1}instance/attributes/kube-env`));
    const arrival = { request };
    for (let times = 0; times < 3; times += 1) counter.decided(evaluate(asked, request.path), arrival, asked);
    assert.deepEqual(await counts(), ['concealed - 1']);
  });
});

describe('a proxy', () => {
  it('reports what its pods were denied when it ends, and its log names the v1 path, for allowed requests too', async (t) => {
    const proxy = new Harness();
    const open = cmdp('open', { legacyEndpoints: 'Allow', conceal: ['instance/tags'] });
    const old = { ...node.workload('old', '127.0.0.2', undefined), policies: [open.uid] };
    const young = node.workload('young', '127.0.0.3', undefined);
    proxy.snapshots.set({ workloads: [old, young], policies: [open] });
    await proxy.start();
    t.after(() => proxy.stop());
    assert.equal((await proxy.get('/0.1/meta-data/hostname', { from: '127.0.0.2' })).status, 200);
    assert.equal((await proxy.get('/0.1/meta-data/tags', { from: '127.0.0.2' })).status, 403);
    assert.equal((await proxy.get('/0.1/meta-data/hostname', { from: '127.0.0.3' })).status, 403);
    assert.equal((await proxy.get(`${v1}instance/attributes/kube-env`, { from: '127.0.0.3' })).status, 403);
    assert.deepEqual(proxy.reported, []);
    await proxy.stop();
    assert.deepEqual(proxy.reported, [
      {
        counts: [
          { policy: open.uid, decision: 'legacy', count: 2 },
          { policy: open.uid, decision: 'concealed', count: 1 },
          { policy: '', decision: 'legacy', count: 1 },
          { policy: '', decision: 'concealed', count: 1 },
        ],
        legacy: [
          { workload: old.uid, endpoint: 'instance/hostname', access: 'allowed', count: 1 },
          { workload: old.uid, endpoint: 'instance/tags', access: 'allowed', count: 1 },
          { workload: young.uid, endpoint: 'instance/hostname', access: 'denied', count: 1 },
        ],
      },
    ]);
    const advice = ({ event, pod, v1Path }: Record<string, unknown>) => [event, pod, v1Path];
    const hostname = `${v1}instance/hostname`;
    assert.deepEqual(proxy.events('legacy-allowed').map(advice), [['legacy-allowed', 'old', hostname]]);
    assert.deepEqual(proxy.events('request-denied').map(advice), [
      ['request-denied', 'old', `${v1}instance/tags`],
      ['request-denied', 'young', hostname],
      ['request-denied', 'young', undefined],
    ]);
  });
});
