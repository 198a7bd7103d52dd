import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { proxyPorts, redirectedAddresses, tableOwner } from '../../operator/core/names.ts';
import { replacement } from '../../operator/core/redirect/batch.ts';
import type { RedirectPlan } from '../../operator/core/redirect/plan.ts';
import { eventually } from '../cluster/eventually.ts';
import { NamespaceAgent } from './agent-client.ts';
import { Instance, type InstanceOptions } from './instance.ts';
import type { Network } from './network.ts';
import { addresses, metadataServer, nodeNetwork } from './topology.ts';

const server = metadataServer.ipv4;

const plan: RedirectPlan = {
  owner: tableOwner,
  nodeAddresses: addresses.node,
  metadata: redirectedAddresses,
  ports: proxyPorts,
  instance: { startedAt: 1, id: '0a1b2c3d' },
  phase: 'serving',
  port: 9880,
};
const podAddress = addresses['pod-a'].ipv4;

/** The kernel's rules over the life of the processes that want them: T13 of the threat list, on the real kernel. */
describe('rules over the life of intercept and proxy', () => {
  let network: Network;
  let pod: NamespaceAgent;
  let host: NamespaceAgent;
  let cloud: NamespaceAgent;
  let instances: Instance[] = [];

  before(async () => {
    network = nodeNetwork();
    [pod, host, cloud] = ['pod-a', 'node', 'cloud'].map((name) => new NamespaceAgent(network, name)) as [
      NamespaceAgent,
      NamespaceAgent,
      NamespaceAgent,
    ];
    await cloud.call('serve', { host: server, port: 80, name: 'cloud' });
    // Connection tracking is on wherever Kubernetes runs; without it nothing could be said about older flows.
    network.run('node', 'nft', 'add table ip kube');
    network.run('node', 'nft', 'add chain ip kube track { type filter hook forward priority 10; }');
    network.run('node', 'nft', 'add rule ip kube track ct state established accept');
  });

  afterEach(async () => {
    await Promise.all(instances.map((each) => each.kill()));
    instances = [];
    if (hasTable()) network.run('node', 'nft', 'delete table inet metaveil');
  });

  after(async () => network[Symbol.asyncDispose]());

  const instance = (name: string, options: InstanceOptions = { port: 9880 }): Instance => {
    const made = new Instance(network, `${name}-${instances.length}-${Date.now()}`, { ...options, label: name });
    instances.push(made);
    return made;
  };

  const hasTable = (): boolean => network.run('node', 'nft', 'list tables').includes('table inet metaveil');
  const rules = (): string => network.run('node', 'nft', '-s', 'list table inet metaveil');
  const cloudHits = async (): Promise<number> =>
    (await cloud.call('hits', { name: 'cloud' })).filter((source) => source === podAddress).length;

  it('cuts connections of pods from before the rules, and not those of the host', async () => {
    await pod.call('hold', { name: 'old', host: server, port: 80 });
    await host.call('hold', { name: 'old', host: server, port: 80 });
    assert.equal((await pod.call('ask', { name: 'old' })).kind, 'reply');
    assert.equal((await host.call('ask', { name: 'old' })).kind, 'reply');
    const hits = await cloudHits();
    const one = await instance('one').start();
    const answer = await pod.call('ask', { name: 'old' });
    assert.deepEqual([answer.kind, answer.kind === 'error' && answer.code], ['error', 'ECONNRESET']);
    assert.equal(await cloudHits(), hits, 'no request of the old connection came through');
    assert.deepEqual((await host.call('ask', { name: 'old' })).kind, 'reply');
    assert.match(await pod.get(server), /^one /);
    assert.equal((await one.logs('flows-cut'))['level'], 'info');
  });

  it('refuses an old connection also where conntrack is not there to forget it', async () => {
    await pod.call('hold', { name: 'tracked', host: server, port: 80 });
    assert.equal((await pod.call('ask', { name: 'tracked' })).kind, 'reply');
    const hits = await cloudHits();
    network.run('node', 'nft', '-j', replacement(plan, { kind: 'missing' }));
    assert.equal((await pod.call('ask', { name: 'tracked' })).kind, 'error');
    assert.equal(await cloudHits(), hits);
  });

  it('keeps the door closed when intercept and proxy are killed', async () => {
    const one = await instance('one').start();
    const before = rules();
    const hits = await cloudHits();
    await one.endIntercept('SIGKILL');
    assert.match(await pod.get(server), /^one /, 'the proxy does not need intercept');
    await one.endProxy('SIGKILL');
    assert.equal(await pod.get(server, 80, { timeoutMs: 1_500 }), 'ETIMEDOUT');
    assert.equal(rules(), before);
    assert.equal(await cloudHits(), hits);
  });

  it('lets clients wait while the proxy restarts, instead of refusing them', async () => {
    const one = await instance('one').start();
    await one.endProxy('SIGKILL');
    const waiting = pod.call('get', { host: server, port: 80, timeoutMs: 10_000 });
    await eventually('the pod has sent a SYN that was not answered', () =>
      Promise.resolve(hasUnansweredSyn(network) || undefined),
    );
    one.startProxy();
    const answer = await waiting;
    assert.equal(answer.kind === 'reply' && answer.body.split(' ')[0], 'one');
  });

  it('ends a request at once that the proxy had when it died', async () => {
    const one = await instance('one').start();
    await pod.call('hold', { name: 'open', host: server, port: 80 });
    const pending = pod.call('ask', { name: 'open', path: '/never' });
    await eventually('the proxy has the request', () => Promise.resolve(one.hasPending() || undefined));
    await one.endProxy('SIGKILL');
    const answer = await pending;
    assert.ok(answer.kind === 'error' && answer.code !== 'ETIMEDOUT', JSON.stringify(answer));
  });

  const tampering = {
    'the table is deleted': 'delete table inet metaveil',
    'everything is flushed': 'flush ruleset',
    'our chains are emptied': 'flush table inet metaveil',
    'an exception is put in front': 'insert rule inet metaveil divert ip saddr 10.78.0.10 accept',
    'an address is taken out of a set': `delete element inet metaveil metadata4 { ${server} }`,
    'a chain of somebody else is added': 'add chain inet metaveil extra',
  };
  for (const [what, command] of Object.entries(tampering)) {
    it(`repairs within a second when ${what}`, async () => {
      const one = await instance('one').start();
      const before = rules();
      // The best of three: the machine may be busy with other tests, the product may not need longer than that.
      const times: number[] = [];
      for (let round = 0; round < 3; round += 1) {
        const started = Date.now();
        network.run('node', 'nft', command);
        await eventually('the rules are as before', () =>
          Promise.resolve((hasTable() && rules() === before) || undefined),
        );
        times.push(Date.now() - started);
      }
      assert.ok(Math.min(...times) < 1_000, `repaired after ${times.join(', ')} ms`);
      assert.equal((await one.logs('rules-repaired'))['level'], 'warn');
      assert.match(await pod.get(server), /^one /);
    });
  }

  it('repairs also while the proxy is dead', async () => {
    const one = await instance('one').start();
    const before = rules();
    await one.endProxy('SIGKILL');
    network.run('node', 'nft', 'delete table inet metaveil');
    await eventually('the rules are as before', () => Promise.resolve((hasTable() && rules() === before) || undefined));
    assert.equal(await pod.get(server, 80, { timeoutMs: 1_000 }), 'ETIMEDOUT');
  });

  it('removes the table on release, also when it is asked to end at the same time', async () => {
    const one = await instance('one').start();
    const ended = one.endIntercept('SIGTERM');
    one.tell('draining');
    one.tell('release');
    await one.reaches('removed');
    assert.equal(await ended, 0);
    assert.equal(hasTable(), false);
    assert.equal(await pod.get(server), 'cloud');
  });

  it('leaves the table when the proxy says keep, and when it says nothing', async () => {
    const one = await instance('one').start();
    const before = rules();
    one.tell('keep');
    assert.equal(await one.endIntercept('SIGTERM'), 0);
    assert.equal(rules(), before);
    await one.kill();
    const two = await instance('two').start();
    const second = rules();
    await two.endProxy('SIGKILL');
    assert.equal(await two.endIntercept('SIGTERM'), 0);
    assert.equal(rules(), second);
  });

  it('does not touch a table of our name that belongs to somebody else', async () => {
    network.run('node', 'nft', 'add table inet metaveil');
    network.run('node', 'nft', 'add chain inet metaveil theirs');
    const before = rules();
    const one = instance('one');
    one.startProxy();
    one.startIntercept();
    await one.reaches('failed');
    assert.equal((await one.logs('rules-failed'))['code'], 'foreign-owner');
    one.tell('release');
    await one.reaches('removed');
    assert.equal((await one.logs('rules-left'))['reason'], 'foreign-owner');
    assert.equal(rules(), before);
  });
});

/** A socket of the pod towards 169.254.169.254:80 in SYN_SENT (02), as the kernel writes it. */
function hasUnansweredSyn(network: Network): boolean {
  return /FEA9FEA9:0050 02 /.test(network.run('pod-a', 'cat', '/proc/net/tcp'));
}
