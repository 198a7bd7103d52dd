/**
 * `intercept`: owns the kernel rules of a node. The second container of the proxy's pod, with NET_ADMIN and nothing else.
 *
 * METAVEIL_INTERCEPT_DIR: directory of the proxy's unix socket. METAVEIL_HOST_IP: the node's addresses, separated by
 * commas; the first of each family counts.
 */
import { join } from 'node:path';
import { NftRules } from '../adapters/nft/kernel-rules.ts';
import { MetaveilError } from '../core/errors.ts';
import { proxyPorts, redirectedAddresses, tableOwner } from '../core/names.ts';
import { interceptSocketName } from '../core/redirect/messages.ts';
import { parseNodeAddresses } from '../intercept/node-addresses.ts';
import { runIntercept } from '../intercept/run.ts';
import { targetProbe } from '../intercept/target-probe.ts';
import { createLogger, describeError, type Logger } from '../telemetry/log.ts';
import { endingSignal, sha256, systemTimers } from './system.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Runs until SIGTERM or SIGINT and the proxy's last word. Resolves with the exit status; there are no flags. */
export async function main(argv: readonly string[], env: Environment): Promise<number> {
  const logger = createLogger({ component: 'intercept' });
  try {
    if (argv.length > 0) throw new MetaveilError('invalid-configuration', 'intercept takes no arguments');
    await run(env, logger);
    return 0;
  } catch (error) {
    logger.error('intercept-stopped', { error: describeError(error) });
    return 1;
  }
}

async function run(env: Environment, logger: Logger): Promise<void> {
  const nodeAddresses = parseNodeAddresses(required(env, 'METAVEIL_HOST_IP'));
  const socketPath = join(required(env, 'METAVEIL_INTERCEPT_DIR'), interceptSocketName);
  await runIntercept({
    settings: { owner: tableOwner, nodeAddresses, metadata: redirectedAddresses, ports: proxyPorts },
    socketPath,
    kernel: new NftRules(),
    probe: targetProbe(nodeAddresses),
    timers: systemTimers,
    hash: sha256,
    logger,
    ended: endingSignal(),
  });
}

function required(env: Environment, name: string): string {
  const value = env[name];
  if (value === undefined || value === '') throw new MetaveilError('invalid-configuration', `${name} is not set`);
  return value;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2), process.env);
