import { maxListingLength } from '../../core/redirect/listing.ts';
import { tableName, type AddressesByFamily } from '../../core/redirect/plan.ts';
import type { KernelRules, ToolFailure } from '../../intercept/ports.ts';
import { defaultToolSettings, runTool, type ToolExit, type ToolSettings } from './tool.ts';

const maxReasonLength = 300;

/** The kernel's rules through the nft and conntrack programs. NET_ADMIN is all they need. */
export class NftRules implements KernelRules {
  readonly #settings: ToolSettings;

  constructor(settings: ToolSettings = defaultToolSettings) {
    this.#settings = settings;
  }

  async list(): ReturnType<KernelRules['list']> {
    const exit = await this.#nft(['-j', 'list', 'table', 'inet', tableName], maxListingLength);
    if (exit.kind === 'exited' && exit.status === 0) return { kind: 'listed', text: exit.output };
    return isNoSuchTable(exit) ? { kind: 'missing' } : failure('nft', exit);
  }

  async load(batch: string): ReturnType<KernelRules['load']> {
    // As an argument: for `-f -` nft opens /dev/stdin, which the socket that node gives a child cannot be opened as.
    const exit = await this.#nft(['-j', batch], 65_536);
    return exit.kind === 'exited' && exit.status === 0 ? { kind: 'loaded' } : failure('nft', exit);
  }

  async cutFlows({ ipv4, ipv6 }: AddressesByFamily): ReturnType<KernelRules['cutFlows']> {
    let count = 0;
    for (const address of [...ipv4, ...ipv6]) {
      const run = { program: 'conntrack', arguments: cutArguments(address), maxOutput: 0 } as const;
      const exit = await runTool(run, this.#settings);
      const cut = cutCount(exit);
      if (cut === undefined) return failure('conntrack', exit);
      count += cut;
    }
    return { kind: 'cut', count };
  }

  #nft(arguments_: readonly string[], maxOutput: number): Promise<ToolExit> {
    return runTool({ program: 'nft', arguments: arguments_, maxOutput }, this.#settings);
  }
}

/** A redirected connection is answered by the node, not by the metadata server: those stay. */
function cutArguments(address: string): readonly string[] {
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  const metadata = ['--orig-dst', address, '--reply-src', address, '--orig-port-dst', '80'];
  return ['-D', '-f', family, '-p', 'tcp', ...metadata];
}

/** conntrack ends with 1 when there was nothing to delete, and says how many in any case. */
function cutCount(exit: ToolExit): number | undefined {
  if (exit.kind !== 'exited') return undefined;
  const [, count] = /: (\d+) flow entries have been deleted/.exec(exit.errors) ?? [];
  return count === undefined ? undefined : Number(count);
}

function isNoSuchTable(exit: ToolExit): boolean {
  return exit.kind === 'exited' && exit.status === 1 && exit.errors.includes('No such file or directory');
}

function failure(program: string, exit: ToolExit): ToolFailure {
  switch (exit.kind) {
    case 'missing':
      return { kind: 'failed', code: 'tool-missing', reason: `the program ${program} is not installed` };
    case 'timeout':
      return { kind: 'failed', code: 'kernel-timeout', reason: `${program} did not end in time` };
    case 'too-long':
      return { kind: 'failed', code: 'listing-unreadable', reason: `${program} printed too much` };
    case 'exited':
      return { kind: 'failed', code: 'kernel-refused', reason: exit.errors.trim().slice(0, maxReasonLength) };
  }
}
