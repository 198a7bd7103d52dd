import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { NamespaceAgent } from './agent-client.ts';
import { Instance } from './instance.ts';
import type { Network } from './network.ts';
import { metadataServer, nodeNetwork } from './topology.ts';

const server = metadataServer.ipv4;

describe('two instances on one node', () => {
  let network: Network;
  let pod: NamespaceAgent;
  let instances: Instance[] = [];

  before(() => {
    network = nodeNetwork();
    pod = new NamespaceAgent(network, 'pod-a');
  });

  afterEach(async () => {
    await Promise.all(instances.map((each) => each.kill()));
    instances = [];
    network.run('node', 'nft', 'delete table inet metaveil');
  });

  after(async () => network[Symbol.asyncDispose]());

  const instance = (label: string, port: number): Instance => {
    const made = new Instance(network, `${label}-${Date.now()}`, { port, label });
    instances.push(made);
    return made;
  };

  const whoAnswers = async (): Promise<string> => (await pod.get(server)).split(' ')[0] ?? '';

  it('flips to the new one under load without losing a request, and the old one ends', async () => {
    const old = await instance('old', 9880).start();
    const count = 2_000;
    const load = pod.call('load', { host: server, port: 80, count, atOnce: 8 });
    await instance('new', 9881).start();
    await old.reaches('superseded');
    const { answered, failed } = await load;
    assert.deepEqual(failed, {});
    const by = (name: string): number =>
      Object.entries(answered)
        .filter(([body]) => body.startsWith(`${name} `))
        .reduce((sum, [, times]) => sum + times, 0);
    assert.equal(by('old') + by('new'), count);
    assert.equal(await whoAnswers(), 'new');
    old.tell('keep');
    assert.equal(await old.endIntercept('SIGTERM'), 0);
    assert.equal(await whoAnswers(), 'new');
  });

  it('takes a client that waits for the dead old one to the new one on the other port', async () => {
    const old = await instance('old', 9880).start();
    await old.kill();
    const waiting = pod.call('get', { host: server, port: 80, timeoutMs: 10_000 });
    await instance('new', 9881).start();
    const answer = await waiting;
    assert.match(answer.kind === 'reply' ? answer.body : answer.code, /^new /);
  });

  it('keeps an open connection with the instance it began with', async () => {
    await instance('old', 9880).start();
    await pod.call('hold', { name: 'open', host: server, port: 80 });
    await instance('new', 9881).start();
    const answer = await pod.call('ask', { name: 'open' });
    assert.match(answer.kind === 'reply' ? answer.body : answer.code, /^old /);
    assert.equal(await whoAnswers(), 'new');
  });

  it('leaves the rules to the newer one although the older restarts its containers', async () => {
    const old = await instance('old', 9880).start();
    const fresh = await instance('new', 9881).start();
    await old.kill();
    old.startProxy();
    old.startIntercept();
    await old.reaches('superseded');
    assert.equal(await whoAnswers(), 'new');
    await fresh.reaches('applied');
  });

  it('gives the rules back to the older one when the newer drains: a rollout that is taken back', async () => {
    const old = await instance('old', 9880).start();
    const fresh = await instance('new', 9881).start();
    await old.reaches('superseded');
    fresh.tell('draining');
    await old.reaches('applied');
    await fresh.reaches('superseded');
    assert.equal(await whoAnswers(), 'old');
  });

  it('gives the rules back to the older one when the newer is dead', async () => {
    const old = await instance('old', 9880).start();
    const fresh = await instance('new', 9881).start();
    await old.reaches('superseded');
    await fresh.kill();
    await old.reaches('applied');
    assert.equal(await whoAnswers(), 'old');
  });

  it('removes nothing when the older one is released after the newer took over', async () => {
    const old = await instance('old', 9880).start();
    await instance('new', 9881).start();
    await old.reaches('superseded');
    old.tell('release');
    await old.reaches('removed');
    assert.equal(await whoAnswers(), 'new');
  });
});
