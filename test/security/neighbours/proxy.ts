/** The proxy of the node, in a process of its own. Tells when it listens; ends with whoever started it. */
import { HttpUpstream } from '../../../operator/adapters/http/upstream.ts';
import { metadataHosts } from '../../../operator/core/request/host.ts';
import { silentLogger } from '../../../operator/telemetry/log.ts';
import { binding, issued, nodeSettings, workload } from '../../unit/proxy/support.ts';
import { Harness } from '../../unit/proxy/harness.ts';
import { addresses } from '../../netns/topology.ts';

const day = 86_400_000;

const [port, upstreamPort] = process.argv.slice(2).map(Number) as [number, number];

const node = new Harness();
// The usual tokens come at once; for any other the controller never answers.
node.tokens.policy = (_, wish) =>
  wish.kind === 'access' && !wish.scopes.includes('hang') ? issued('token', node.timers.now() + day) : undefined;
node.snapshots.set({
  settings: nodeSettings({ platform: 'GCE' }),
  workloads: [
    workload('abuser', addresses['pod-a'].ipv4, binding('abuser')),
    workload('victim', addresses['pod-b'].ipv4, binding('victim')),
  ],
});
await node.start({
  listen: [{ host: addresses.node.ipv4, port }],
  hosts: metadataHosts,
  logger: silentLogger,
  upstream: new HttpUpstream({ host: '127.0.0.1', port: upstreamPort }),
});
process.send?.('listening');
process.on('disconnect', () => process.exit());
