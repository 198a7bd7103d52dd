/** How far an object has come, as the status of bindings and policies tells it. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { PodUid } from '../../../operator/core/brand.ts';
import { objectsOf, Programming } from '../../../operator/nodeapi/server/programming.ts';
import { bindingView, policy, settings, snapshot, workload } from './resources.ts';

const pod = (uid: string): PodUid => uid as PodUid;
const generation = (value: number) => snapshot(policy('hide', { generation: value }));
const ack = (value: number) => ({ objects: objectsOf(generation(value)), rejected: new Map<string, string>() });
const empty = { objects: new Map<string, number>(), rejected: new Map<string, string>() };

describe('programming', () => {
  let programming = new Programming();
  const state = (value = 1) => programming.programming('policy-hide', value);

  beforeEach(() => (programming = new Programming()));

  it('nobody needs it', () => {
    assert.deepEqual(state(), { desired: 0, programmed: 0, rejected: [], disconnected: [] });
  });

  it('a node without a connected proxy is counted, sorted, and never programmed', () => {
    for (const node of ['node-b', 'node-a']) programming.setDesired(node, generation(1));
    assert.deepEqual(state(), { desired: 2, programmed: 0, rejected: [], disconnected: ['node-a', 'node-b'] });
  });

  it('connected is not acknowledged', () => {
    programming.setDesired('node-a', generation(1));
    programming.connected('node-a', pod('a'));
    assert.deepEqual(state(), { desired: 1, programmed: 0, rejected: [], disconnected: [] });
    programming.acknowledged('node-a', pod('a'), ack(1));
    assert.equal(state().programmed, 1);
  });

  it('an older generation is not this one, and a node that lags behind the object is not done', () => {
    programming.setDesired('node-a', generation(1));
    programming.connected('node-a', pod('a'));
    programming.acknowledged('node-a', pod('a'), ack(1));
    assert.deepEqual([state(2).desired, state(2).programmed], [1, 0], 'the snapshot is still to be built');
    programming.setDesired('node-a', generation(2));
    assert.equal(state(2).programmed, 0);
    programming.acknowledged('node-a', pod('a'), ack(2));
    assert.equal(state(2).programmed, 1);
  });

  it('during a surge both instances must have it', () => {
    programming.setDesired('node-a', generation(1));
    programming.connected('node-a', pod('old'));
    programming.acknowledged('node-a', pod('old'), ack(1));
    programming.connected('node-a', pod('new'));
    assert.equal(state().programmed, 0);
    programming.acknowledged('node-a', pod('new'), ack(1));
    assert.equal(state().programmed, 1);
    programming.disconnected('node-a', pod('old'));
    assert.equal(state().programmed, 1);
  });

  it('a removal is wanted until the proxy does not have it any more', () => {
    programming.setDesired('node-a', generation(1));
    programming.connected('node-a', pod('a'));
    programming.acknowledged('node-a', pod('a'), ack(1));
    programming.setDesired('node-a', snapshot(settings('node-a')));
    assert.deepEqual([state().desired, state().programmed], [1, 0]);
    programming.acknowledged('node-a', pod('a'), empty);
    assert.equal(state().desired, 0);
  });

  it('a rejection of any instance is the verdict of its node', () => {
    programming.setDesired('node-a', generation(1));
    for (const uid of ['old', 'new']) programming.connected('node-a', pod(uid));
    programming.acknowledged('node-a', pod('old'), ack(1));
    programming.acknowledged('node-a', pod('new'), { ...ack(1), rejected: new Map([['policy-hide', 'why']]) });
    assert.deepEqual(state().rejected, [{ node: 'node-a', reason: 'why' }]);
  });

  it('a proxy that left is disconnected, and forgotten with its node', () => {
    programming.setDesired('node-a', generation(1));
    programming.connected('node-a', pod('a'));
    programming.disconnected('node-a', pod('a'));
    assert.deepEqual(state().disconnected, ['node-a']);
    programming.setDesired('node-a', undefined);
    assert.equal(state().desired, 0);
  });

  it('a binding is on each node that has a workload with it', () => {
    const two = snapshot(workload('w1', bindingView('api')), workload('w2', bindingView('api')), workload('w3'));
    for (const node of ['node-a', 'node-b']) programming.setDesired(node, two);
    assert.equal(programming.programming('binding-api', 1).desired, 2);
    assert.deepEqual([...objectsOf(two)], [['binding-api', 1]]);
  });

  it('tells which objects may have changed, and only those', () => {
    const told: string[][] = [];
    const stop = programming.onChange((uids) => told.push([...uids].sort()));
    const both = snapshot(policy('hide'), policy('show'));
    programming.setDesired('node-a', both);
    programming.setDesired('node-a', both);
    programming.setDesired('node-a', snapshot(policy('hide', { generation: 2 }), policy('show')));
    programming.connected('node-a', pod('a'));
    programming.acknowledged('node-a', pod('a'), ack(2));
    programming.acknowledged('node-a', pod('a'), ack(2));
    programming.acknowledged('node-a', pod('a'), { ...ack(2), rejected: new Map([['policy-hide', 'no']]) });
    programming.disconnected('node-a', pod('a'));
    stop();
    programming.setDesired('node-a', undefined);
    const all = ['policy-hide', 'policy-show'];
    const hide = ['policy-hide'];
    assert.deepEqual(told, [all, hide, all, hide, hide, all]);
  });
});
