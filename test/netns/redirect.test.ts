import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { newConnections } from '../../operator/core/redirect/table.ts';
import { NamespaceAgent } from './agent-client.ts';
import { Instance } from './instance.ts';
import type { Network } from './network.ts';
import { addresses, metadataServer, nodeNetwork, type Place } from './topology.ts';

const port = 9880;
const families = ['ipv4', 'ipv6'] as const;
const pods = ['pod-a', 'pod-b', 'pod-c'] as const;

describe('redirect', () => {
  let network: Network;
  let instance: Instance;
  const agents = {} as Record<Place, NamespaceAgent>;

  before(async () => {
    network = nodeNetwork();
    for (const place of Object.keys(addresses) as Place[]) agents[place] = new NamespaceAgent(network, place);
    for (const family of families) {
      const host = metadataServer[family];
      for (const each of [80, 53, 443, 8080]) {
        await agents.cloud.call('serve', { host, port: each, name: `cloud ${host} ${each}` });
      }
      await agents.cloud.call('serveUdp', { host, port: 123 });
      await agents.cloud.call('serveUdp', { host, port: 53 });
    }
    // Without rules the pod does reach the cloud: what is refused later is refused by the rules.
    assert.equal(await agents['pod-a'].get(metadataServer.ipv4), 'cloud 169.254.169.254 80');
    instance = new Instance(network, 'one', { port });
    await instance.start();
  });

  after(async () => {
    await instance.kill();
    await network[Symbol.asyncDispose]();
  });

  for (const family of families) {
    const server = metadataServer[family];

    for (const pod of pods) {
      it(`takes ${pod}'s request over ${family} to the proxy, which sees the pod's address`, async () => {
        const expected = `one ${addresses[pod][family]} ${addresses.node[family]}`;
        assert.equal(await agents[pod].get(server), expected);
      });
    }

    it(`leaves other ports of the address alone over ${family}: DNS, NTP and the rest`, async () => {
      for (const each of [53, 443, 8080]) {
        assert.equal(await agents['pod-a'].get(server, each), `cloud ${server} ${each}`);
      }
      assert.equal(await agents['pod-a'].call('askUdp', { host: server, port: 123 }), 'ping');
      assert.equal(await agents['pod-c'].call('askUdp', { host: server, port: 53 }), 'ping');
    });

    it(`leaves the host's own requests alone over ${family}`, async () => {
      assert.equal(await agents.node.get(server), `cloud ${server} 80`);
    });

    it(`lets only the redirect and the host enter the proxy's port over ${family}`, async () => {
      const target = addresses.node[family];
      for (const place of [...pods, 'other'] as const) {
        assert.equal(await agents[place].get(target, port), 'ECONNREFUSED', place);
      }
      assert.equal(await agents.node.get(target, port), `one ${target} ${target}`);
    });
  }

  it('refuses a connection to the proxy that another translation made, as a Service would', async () => {
    const node = addresses.node.ipv4;
    network.run('node', 'nft', 'add table ip service');
    network.run('node', 'nft', 'add chain ip service pre { type nat hook prerouting priority -100; }');
    network.run('node', 'nft', `add rule ip service pre tcp dport 30080 dnat to ${node}:${port}`);
    try {
      assert.equal(await agents.other.get(node, 30_080), 'ECONNREFUSED');
      assert.equal(await agents['pod-c'].get(node, 30_080), 'ECONNREFUSED');
    } finally {
      network.run('node', 'nft', 'delete table ip service');
    }
  });

  it('drops a source address that the sender cannot have', async () => {
    const victim = addresses['pod-a'].ipv4;
    const spoofed = { localAddress: victim, timeoutMs: 1_500 };
    network.run('node', 'nft', 'add table ip seen');
    for (const hook of ['prerouting', 'input']) {
      network.run('node', 'nft', `add chain ip seen ${hook} { type filter hook ${hook} priority -300; }`);
      network.run('node', 'nft', `add rule ip seen ${hook} ip saddr ${victim} tcp dport { 80, ${port} } counter`);
    }
    const counted = (hook: string): number => {
      const listing = network.run('node', 'nft', `list chain ip seen ${hook}`);
      return Number(/counter packets (\d+)/.exec(listing)?.[1]);
    };
    try {
      for (const liar of ['pod-c', 'other'] as const) {
        network.ip(liar, `addr add ${victim}/32 dev lo`);
        const before = counted('prerouting');
        assert.equal(await agents[liar].get(metadataServer.ipv4, 80, spoofed), 'ETIMEDOUT', liar);
        network.ip(liar, `addr del ${victim}/32 dev lo`);
        assert.ok(counted('prerouting') > before, `the node saw a packet of ${liar}`);
      }
      // The answer to a spoofed SYN would go to the victim: only what comes in tells a drop from a lost answer.
      assert.equal(counted('input'), 0);
    } finally {
      network.run('node', 'nft', 'delete table ip seen');
    }
  });

  it('lets a pod open new connections at its rate: the rest comes later, and other pods do not notice', async () => {
    const attempts = 3 * newConnections.burst;
    const connectAll = agents['pod-c'].call('connect', { host: metadataServer.ipv4, port: 80, count: attempts });
    assert.match(await agents['pod-b'].get(metadataServer.ipv4), /^one /);
    const connectedMs = await connectAll;
    assert.equal(connectedMs.length, attempts, 'the kernel of the pod tries again');
    const seconds = 0.5;
    const early = connectedMs.filter((ms) => ms < seconds * 1_000).length;
    const { burst, perSecond } = newConnections;
    assert.ok(early >= burst && early <= burst + seconds * perSecond, `${early} of ${attempts} in ${seconds} s`);
    // The line comes with the next look at the table: it counts what was dropped until then.
    assert.ok(Number((await instance.logs('connections-limited'))['count']) > 0);
  });

  it('closes what connection tracking was told to ignore', async () => {
    network.run('node', 'nft', 'add table ip untracked');
    network.run('node', 'nft', 'add chain ip untracked pre { type filter hook prerouting priority -300; }');
    network.run('node', 'nft', 'add rule ip untracked pre tcp dport 80 notrack');
    try {
      assert.equal(await agents['pod-a'].get(metadataServer.ipv4), 'ECONNREFUSED');
    } finally {
      network.run('node', 'nft', 'delete table ip untracked');
    }
    assert.match(await agents['pod-a'].get(metadataServer.ipv4), /^one /);
  });

  it('closes a family in which the node has no address', async () => {
    const single = new Instance(network, 'ipv4-only', { port: 9881, hostIps: addresses.node.ipv4 });
    try {
      await single.start();
      assert.match(await agents['pod-a'].get(metadataServer.ipv4), /^ipv4-only /);
      assert.equal(await agents['pod-a'].get(metadataServer.ipv6), 'ECONNREFUSED');
    } finally {
      await single.kill();
    }
  });

  it('sends nothing of a pod to the cloud', async () => {
    const fromPods = Object.values(addresses['pod-a']);
    for (const family of families) {
      const seen = await agents.cloud.call('hits', { name: `cloud ${metadataServer[family]} 80` });
      const first = family === 'ipv4' ? [addresses['pod-a'].ipv4] : [];
      assert.deepEqual(
        seen.filter((source) => !source.endsWith(addresses.node[family])),
        first,
        `only the request before the rules; never from ${fromPods.join(', ')}`,
      );
    }
  });
});
