/**
 * `intercept`: owns the kernel rules of a node. The second container of the proxy's pod, with NET_ADMIN and nothing else.
 *
 * METAVEIL_INTERCEPT_DIR: directory of the proxy's unix socket. METAVEIL_HOST_IP: the node's addresses, separated by
 * commas, at most one per family.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { NftRules } from '../adapters/nft/kernel-rules.ts';
import type { ContentHash } from '../core/brand.ts';
import { MetaveilError } from '../core/errors.ts';
import { proxyPorts, redirectedAddresses, tableOwner } from '../core/names.ts';
import { interceptSocketName } from '../core/redirect/messages.ts';
import { parseNodeAddresses } from '../intercept/node-addresses.ts';
import { runIntercept } from '../intercept/run.ts';
import { targetProbe } from '../intercept/target-probe.ts';
import type { Timers } from '../core/time.ts';
import { createLogger } from '../telemetry/log.ts';

const timers: Timers = {
  now: () => Date.now(),
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') throw new MetaveilError('invalid-configuration', `${name} is not set`);
  return value;
}

async function main(): Promise<void> {
  const ended = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => ended.abort());
  const nodeAddresses = parseNodeAddresses(required('METAVEIL_HOST_IP'));
  await runIntercept({
    settings: { owner: tableOwner, nodeAddresses, metadata: redirectedAddresses, ports: proxyPorts },
    socketPath: join(required('METAVEIL_INTERCEPT_DIR'), interceptSocketName),
    kernel: new NftRules(),
    probe: targetProbe(nodeAddresses),
    timers,
    hash: (text) => createHash('sha256').update(text).digest('hex') as ContentHash,
    logger: createLogger({ component: 'intercept' }),
    ended: ended.signal,
  });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof MetaveilError)) throw error;
  process.stderr.write(`intercept: ${error.message}\n`);
  process.exitCode = 1;
}
