import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { KubeEventRecorder } from '../../../../operator/adapters/kube/event-recorder.ts';
import { ScriptedApi, type Call } from './scripted-api.ts';

const ref = { apiVersion: 'v1', kind: 'ServiceAccount', namespace: 'ns', name: 'a', uid: 'u' };
const event = { type: 'Warning', reason: 'PermissionDenied', message: 'Google refused.' } as const;

async function scene(t: TestContext) {
  const api = await ScriptedApi.start(t);
  const failures: string[] = [];
  let nonce = 0;
  const recorder = new KubeEventRecorder({
    client: api.client(),
    timers: api.timers,
    instance: 'controller-0',
    nonce: () => `n${(nonce += 1)}`,
    onFailure: (error) => failures.push(error.code),
  });
  return { api, recorder, failures };
}

function series(call: Call): unknown {
  return (call.body as { series: { count: number } }).series.count;
}

describe('Recording events', () => {
  it('sends one after the other, cluster-scoped objects to the default namespace', async (t) => {
    const { api, recorder } = await scene(t);
    recorder.record(ref, event);
    recorder.record({ apiVersion: 'v1', kind: 'Node', name: 'node.' }, event);
    const first = await api.next();
    assert.equal(first.path, '/apis/events.k8s.io/v1/namespaces/ns/events');
    assert.deepEqual(first.body, {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace: 'ns', name: 'a.n1' },
      eventTime: '2026-06-01T00:00:00.000000Z',
      reportingController: 'metaveil.dev/controller',
      reportingInstance: 'controller-0',
      action: 'Reconcile',
      type: 'Warning',
      reason: 'PermissionDenied',
      note: 'Google refused.',
      regarding: ref,
    });
    first.reply(201, {});
    const second = await api.next();
    assert.equal(second.path, '/apis/events.k8s.io/v1/namespaces/default/events');
    assert.equal((second.body as { metadata: { name: string } }).metadata.name, 'node.n2');
    second.reply(201, {});
    await recorder.flush();
  });

  it('counts a repetition, and begins anew when the event is gone or old', async (t) => {
    const { api, recorder, failures } = await scene(t);
    recorder.record(ref, event);
    (await api.next()).reply(201, {});
    recorder.record(ref, event);
    const repeated = await api.next();
    assert.deepEqual([repeated.method, repeated.path], ['PATCH', '/apis/events.k8s.io/v1/namespaces/ns/events/a.n1']);
    assert.equal(series(repeated), 2);
    repeated.reply(200, {});
    recorder.record(ref, event);
    const gone = await api.next();
    assert.equal(series(gone), 3);
    gone.refuse(404, 'NotFound');
    const anew = await api.next();
    assert.equal(anew.method, 'POST');
    anew.reply(201, {});
    await recorder.flush();
    api.timers.jump(600_000);
    recorder.record(ref, event);
    const later = await api.next();
    assert.equal(later.method, 'POST');
    later.reply(201, {});
    await recorder.flush();
    assert.deepEqual(failures, []);
  });

  it('lets one object have 25 events at once, then one a minute, and others theirs', async (t) => {
    const { api, recorder } = await scene(t);
    const answered: string[] = [];
    const answer = async (count: number) => {
      for (let at = 0; at < count; at += 1) {
        const call = await api.next();
        answered.push((call.body as { note: string }).note);
        call.reply(201, {});
      }
      await recorder.flush();
      assert.equal(api.calls.waiting, 0);
    };
    for (let at = 0; at < 40; at += 1) recorder.record(ref, { ...event, message: `flood ${at}` });
    recorder.record({ ...ref, name: 'b', uid: 'v' }, { ...event, message: 'other' });
    await answer(26);
    assert.deepEqual(answered.slice(-2), ['flood 24', 'other']);
    api.timers.jump(60_000);
    recorder.record(ref, { ...event, message: 'allowed' });
    recorder.record(ref, { ...event, message: 'too much' });
    await answer(1);
    assert.equal(answered.at(-1), 'allowed');
  });

  it('never waits and never throws: what cannot be sent is reported and dropped', async (t) => {
    const { api, recorder, failures } = await scene(t);
    for (let at = 0; at < 300; at += 1) recorder.record({ ...ref, name: `a${at}`, uid: `u${at}` }, event);
    let sent = 0;
    const answering = (async () => {
      for (;;) {
        const call = await api.next();
        sent += 1;
        call.refuse(403, 'Forbidden', 'namespace is being terminated');
      }
    })();
    await Promise.race([recorder.flush(), answering]);
    // The first was under way when the bound of 256 was reached.
    assert.equal(sent, 257);
    assert.deepEqual(new Set(failures), new Set(['kubernetes-refused']));
  });
});
