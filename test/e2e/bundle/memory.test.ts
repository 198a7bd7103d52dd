/**
 * T14 with the memory that the container has: all pods of a node but one work together, and open, send and leave unread
 * as much as they may. The kernel does not end the proxy, and the one pod is served.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { defaultResources } from '../../../operator/controllers/proxies/pod-template.ts';
import { defaultLimits } from '../../../operator/proxy/listener.ts';
import { MemoryLimit } from '../../bench/memory-limit.ts';
import { AskingPod, NodeApi, nodeAddress, prepare, Program, proxyPort, ProxyUnderTest } from '../../bench/stage.ts';
import { podCount } from '../../bench/snapshot.ts';
import type { Network } from '../../netns/network.ts';
import { addresses, nodeNetwork } from '../../netns/topology.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const token = '/computeMetadata/v1/instance/service-accounts/default/token';
/** All pods of the snapshot but one. */
const crowd = Array.from({ length: podCount - 1 }, (_, index) => `10.79.1.${index + 1}`);
const kinds = ['idle', 'unfinished', 'unread'] as const;

describe('T14: a crowd of pods and a proxy with the memory of its container', () => {
  const folder = mkdtempSync(join(tmpdir(), 'metaveil-memory-'));
  const limit = new MemoryLimit(`metaveil-test-${process.pid}`, defaultResources.limits.memory);
  let network: Network;
  let pod: AskingPod;
  let proxy: ProxyUnderTest;

  before(async () => {
    execFileSync(process.execPath, [join(root, 'operator', 'cmd', 'build.ts'), folder], { stdio: 'ignore' });
    network = nodeNetwork();
    for (const address of crowd) network.ip('pod-a', `addr add ${address}/32 dev eth0`);
    network.ip('node', `route add 10.79.1.0/24 via ${addresses['pod-a'].ipv4}`);
    const files = await prepare(network, new NodeApi(network), folder);
    pod = new AskingPod(network);
    proxy = new ProxyUnderTest(network, files, limit);
    await proxy.isWarm();
  });

  after(async () => {
    if (limit.kills() === 0) await proxy.stop('SIGKILL');
    await network[Symbol.asyncDispose]();
    limit[Symbol.dispose]();
    rmSync(folder, { recursive: true });
  });

  for (const kind of kinds) {
    it(`is not ended by the kernel: ${kind}`, async (t) => {
      const words = [join(root, 'test', 'e2e', 'bundle', 'crowd.ts'), nodeAddress, String(proxyPort), kind] as const;
      const crowding = new Program(network, 'pod-a', [...words, ...crowd]);
      await crowding.line();
      for (let count = 0; count < 20; count += 1) assert.equal((await pod.ask(proxyPort, token)).status, 200);
      const held = connectionsOfProxy(network);
      t.diagnostic(`${held} connections held, ${Math.round(limit.usedMiB())} of ${defaultResources.limits.memory}`);
      assert.equal(limit.kills(), 0);
      assert.ok(held > defaultLimits.connections / 2, `only ${held} connections are held`);
      await crowding.stop();
    });
  }
});

/** Established ones, as the kernel lists them. */
function connectionsOfProxy(network: Network): number {
  const list = network.run('node', 'ss', '-Htn', 'state', 'established', `sport = :${proxyPort}`);
  return list.split('\n').filter((line) => line !== '').length;
}
