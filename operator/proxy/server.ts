import type { AddressInfo } from 'node:net';
import type { Hash } from '../core/brand.ts';
import type { AcceptedHosts } from '../core/request/canonical.ts';
import { metadataHosts } from '../core/request/host.ts';
import type { Timers } from '../core/time.ts';
import type { Logger } from '../telemetry/log.ts';
import { TokenBroker } from './broker.ts';
import { DecisionCounter } from './decision-counter.ts';
import { DenialLog } from './denial-log.ts';
import { RequestHandler } from './handler.ts';
import { Identifier } from './identify.ts';
import { defaultLimits, Listener, type ListenerLimits } from './listener.ts';
import { PassThrough } from './passthrough.ts';
import type { DecisionReports, SnapshotSource, TokenSource, Upstream } from './ports.ts';
import { ChangeWaiter } from './wait-for-change.ts';
import { Workloads } from './workloads.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

export interface ProxyOptions {
  readonly snapshotSource: SnapshotSource;
  readonly tokenSource: TokenSource;
  readonly reports: DecisionReports;
  readonly logger: Logger;
  readonly timers: Timers;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly hash: Hash;
  /** At least one. */
  readonly listen: readonly ListenAddress[];
  /** Names under which pods may address the server. Default: the metadata addresses and `cluster.local`. */
  readonly hosts?: AcceptedHosts;
  readonly limits?: Partial<ListenerLimits>;
  /** The node's real metadata server, asked on platform GCE only. Default: its values are emulated there too. */
  readonly upstream?: Upstream;
}

export interface RunningProxy {
  /** In the order of `listen`. */
  readonly addresses: readonly AddressInfo[];
  /** Accepts nothing more, finishes the requests it has within `drainMs`, then ends all connections. */
  close(drainMs: number): Promise<void>;
}

/** Starts the metadata server of a node. Throws if an address cannot be listened on; nothing is left open then. */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const { timers, logger } = options;
  const workloads = new Workloads(options.snapshotSource);
  const { tokenSource: source, random, upstream, hash } = options;
  const broker = new TokenBroker(workloads, { source, timers, random, logger });
  const denials = new DenialLog(logger, timers);
  const decisions = new DecisionCounter(options.reports, timers);
  const handler = new RequestHandler({
    identifier: new Identifier(workloads, timers),
    broker,
    changes: new ChangeWaiter(workloads, timers),
    timers,
    hash,
    denials,
    decisions,
    hosts: options.hosts ?? metadataHosts,
    passThrough: upstream === undefined ? undefined : new PassThrough({ upstream, timers, hash }),
  });
  const limits = { ...defaultLimits, ...options.limits };
  const listeners = options.listen.map(() => new Listener({ handler, denials, logger, limits }));
  const close = async (drainMs: number): Promise<void> => {
    await drain(listeners, timers, drainMs);
    decisions.close();
    broker.close();
    workloads.close();
  };
  const addresses = await listenAll(listeners, options.listen).catch(async (error: unknown) => {
    await close(0);
    throw error;
  });
  // Only now: an instance that finds its port taken must not ask for a token of every pod first.
  broker.start();
  for (const { address, port } of addresses) logger.info('proxy-listening', { address: `${address} ${port}` });
  return {
    addresses,
    close: async (drainMs) => {
      await close(drainMs);
      logger.info('proxy-stopped');
    },
  };
}

async function listenAll(
  listeners: readonly Listener[],
  targets: readonly ListenAddress[],
): Promise<readonly AddressInfo[]> {
  return Promise.all(
    targets.map(async ({ host, port }, index) => {
      const listener = listeners[index];
      if (listener === undefined) throw new RangeError('one listener per address');
      return listener.listen(host, port);
    }),
  );
}

async function drain(listeners: readonly Listener[], timers: Timers, drainMs: number): Promise<void> {
  const drained = Promise.all(listeners.map((listener) => listener.drain()));
  const cancel = timers.after(drainMs, () => {
    for (const listener of listeners) listener.end();
  });
  await drained;
  cancel();
}
