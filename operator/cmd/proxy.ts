/** The proxy of a node: connects the metadata server to the node API, and ends in order. */
import { join } from 'node:path';
import { MountedCredentials, SnapshotFile } from '../adapters/http/mounted-files.ts';
import { HttpUpstream } from '../adapters/http/upstream.ts';
import { MetaveilError } from '../core/errors.ts';
import { metadataHosts } from '../core/request/host.ts';
import { NodeApiClient } from '../nodeapi/client/client.ts';
import { readConfiguration, type ProxyConfiguration } from '../proxy/configuration.ts';
import { InterceptLink } from '../proxy/intercept-link.ts';
import { startProxy, type ProxyOptions, type RunningProxy } from '../proxy/server.ts';
import { createLogger, describeError, type Logger } from '../telemetry/log.ts';
import { bootId, ended, sha256, systemTimers } from './system.ts';

/** How long the controller may take to answer whether this node is released, in ms. */
const leaveMs = 3_000;

/** How long intercept may take to remove the rules, in ms. */
const releaseMs = 5_000;

/** How long the last counters may take on their way to the controller, in ms. */
const reportMs = 2_000;

type Environment = Readonly<Record<string, string | undefined>>;

/** Runs until SIGTERM or SIGINT. Resolves with the exit status. */
export async function main(argv: readonly string[], env: Environment): Promise<number> {
  const logger = createLogger({ component: 'proxy' });
  try {
    const configuration = readConfiguration(argv, env);
    await run(configuration, logger, ended());
    return 0;
  } catch (error) {
    logger.error('proxy-stopped', { error: describeError(error) });
    return 1;
  }
}

async function run(configuration: ProxyConfiguration, logger: Logger, ending: Promise<void>): Promise<void> {
  const client = nodeApiClient(configuration, logger);
  const link = await interceptLink(configuration, logger);
  const upstream = new HttpUpstream(configuration.upstream);
  await client.start();
  try {
    const proxy = await listenOnFreePort(configuration, {
      snapshotSource: client,
      tokenSource: client,
      reports: client,
      upstream,
      logger,
      timers: systemTimers,
      random: Math.random,
      hash: sha256,
      hosts: {
        addresses: [...metadataHosts.addresses, ...configuration.hostIPs],
        clusterDomain: configuration.clusterDomain,
      },
    });
    announce(proxy, client, link);
    await ending;
    await leave({ client, proxy, link }, configuration.drainMs, logger);
  } finally {
    upstream.close();
    await link?.close();
    await client.stop();
  }
}

/** Undefined where nothing redirects pods to this proxy. */
async function interceptLink(
  { interceptDir: directory }: ProxyConfiguration,
  logger: Logger,
): Promise<InterceptLink | undefined> {
  if (directory === '') return undefined;
  const uptimeMs = () => Number(process.hrtime.bigint() / 1_000_000n);
  const link = new InterceptLink({ directory, timers: systemTimers, logger, uptimeMs });
  await link.listen();
  return link;
}

/** An instance that pods are not redirected to is not ready, whatever else works: they would see the node's server. */
function announce(proxy: RunningProxy, client: NodeApiClient, link: InterceptLink | undefined): void {
  if (link === undefined) {
    client.setReady(true);
    return;
  }
  link.onChange(() => {
    // A restarted intercept is absent for a moment and the rules stay, so that alone changes nothing.
    if (link.state.kind === 'applied') client.setReady(true);
    if (link.state.kind === 'failed') client.setReady(false);
  });
  link.serving(proxy.addresses[0]?.port ?? 0);
}

interface ProxyParts {
  readonly client: NodeApiClient;
  readonly proxy: RunningProxy;
  readonly link: InterceptLink | undefined;
}

/** Tokens stay available while the last requests finish, so the client ends after the proxy. */
async function leave({ client, proxy, link }: ProxyParts, drainMs: number, logger: Logger): Promise<void> {
  logger.info('proxy-draining');
  client.setReady(false);
  link?.draining();
  const verdict = await client.leave(AbortSignal.timeout(leaveMs));
  if (verdict === 'released') await link?.release(releaseMs);
  else link?.keep();
  await proxy.close(drainMs);
  await Promise.race([
    client.reported(),
    new Promise((resolve) => systemTimers.after(reportMs, () => resolve(undefined))),
  ]);
}

function nodeApiClient(configuration: ProxyConfiguration, log: Logger): NodeApiClient {
  return new NodeApiClient({
    service: configuration.service,
    serverName: configuration.serverName,
    credentials: new MountedCredentials({ token: configuration.tokenFile, caBundle: configuration.caFile }),
    lastGood: new SnapshotFile(join(configuration.stateDir, 'snapshot.json'), bootId()),
    clock: systemTimers,
    random: Math.random,
    log,
  });
}

/** During a rolling update the older instance has one of the ports. */
async function listenOnFreePort(
  { hostIPs, ports }: ProxyConfiguration,
  options: Omit<ProxyOptions, 'listen'>,
): Promise<RunningProxy> {
  for (const port of ports) {
    try {
      return await startProxy({ ...options, listen: hostIPs.map((host) => ({ host, port })) });
    } catch (error) {
      if (!isInUse(error)) throw error;
    }
  }
  throw new MetaveilError('invalid-configuration', `all ports are taken: ${ports.join(', ')}`);
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2), process.env);
