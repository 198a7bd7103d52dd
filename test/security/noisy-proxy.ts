/** A proxy in a process of its own, for those who measure it. Tells its port; ends with whoever started it. */
import { HttpUpstream } from '../../operator/adapters/http/upstream.ts';
import { metadataHosts } from '../../operator/core/request/host.ts';
import { silentLogger } from '../../operator/telemetry/log.ts';
import { createServer, type AddressInfo } from 'node:net';
import { binding, issued, nodeSettings, workload } from '../unit/proxy/support.ts';
import { Harness } from '../unit/proxy/harness.ts';
import { pods } from './harness.ts';

const day = 86_400_000;

/** An upstream that takes every question and answers none. */
const hanging = createServer((socket) => socket.on('error', () => undefined).resume());
await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));

const node = new Harness();
// The usual tokens come at once; for any other the controller never answers.
node.tokens.policy = (_, wish) =>
  wish.kind === 'access' && !wish.scopes.includes('hang') ? issued('token', node.timers.now() + day) : undefined;
node.snapshots.set({
  settings: nodeSettings({ platform: 'GCE' }),
  workloads: [workload('abuser', pods.bound, binding('abuser')), workload('victim', pods.unbound, binding('victim'))],
});
await node.start({
  hosts: metadataHosts,
  logger: silentLogger,
  upstream: new HttpUpstream({ host: '127.0.0.1', port: (hanging.address() as AddressInfo).port }),
});
process.send?.(node.port);
process.on('disconnect', () => process.exit());
