/** A kernel in memory: it loads what nft would load, refuses what nft would refuse, and lists like nft. */
import type { AddressesByFamily } from '../../../operator/core/redirect/plan.ts';
import type { KernelRules, ToolFailure } from '../../../operator/intercept/ports.ts';
import { listingOf } from '../core/redirect/plans.ts';

interface Command {
  readonly create?: { readonly table: object };
  readonly delete?: { readonly table: { readonly handle: number } };
  readonly add?: object;
}

export class FakeKernel implements KernelRules {
  /** Objects of the table in the order they were added, without handles. */
  objects: object[] | undefined;
  handle = 0;
  loads = 0;
  /** What each counter shows. */
  packets = 0;
  cuts: AddressesByFamily[] = [];
  /** Makes every call of that kind fail. */
  readonly failing = new Map<'list' | 'load' | 'cutFlows', ToolFailure>();
  /** Runs once between a look at the table and the next load. */
  meanwhile: (() => void) | undefined;

  async list(): ReturnType<KernelRules['list']> {
    const failure = this.failing.get('list');
    if (failure !== undefined) return Promise.resolve(failure);
    if (this.objects === undefined) return Promise.resolve({ kind: 'missing' });
    const table = { table: { family: 'inet', name: 'metaveil', handle: this.handle } };
    const text = listingOf([table, ...this.objects]);
    const counter = JSON.stringify({ packets: this.packets, bytes: 60 * this.packets });
    return Promise.resolve({ kind: 'listed', text: text.replaceAll('"counter":null', `"counter":${counter}`) });
  }

  async load(batch: string): ReturnType<KernelRules['load']> {
    this.loads += 1;
    this.meanwhile?.();
    this.meanwhile = undefined;
    const failure = this.failing.get('load');
    if (failure !== undefined) return Promise.resolve(failure);
    const { nftables } = JSON.parse(batch) as { readonly nftables: readonly Command[] };
    return Promise.resolve(this.#apply(nftables) ? { kind: 'loaded' } : refused);
  }

  async cutFlows(addresses: AddressesByFamily): ReturnType<KernelRules['cutFlows']> {
    this.cuts.push(addresses);
    return Promise.resolve(this.failing.get('cutFlows') ?? { kind: 'cut', count: 1 });
  }

  /** Somebody else's table of our name. */
  putForeign(): void {
    this.objects = [{ chain: { family: 'inet', table: 'metaveil', name: 'theirs', handle: 1 } }];
    this.handle += 1;
  }

  get text(): string {
    return JSON.stringify(this.objects ?? null);
  }

  #apply(commands: readonly Command[]): boolean {
    let objects = this.objects;
    for (const command of commands) {
      if (command.delete !== undefined) {
        if (objects === undefined || command.delete.table.handle !== this.handle) return false;
        objects = undefined;
      } else if (command.create !== undefined) {
        if (objects !== undefined) return false;
        objects = [];
      } else if (command.add !== undefined) objects?.push(command.add);
    }
    this.objects = objects;
    this.packets = 0;
    this.handle += 1;
    return true;
  }
}

const refused: ToolFailure = { kind: 'failed', code: 'kernel-refused', reason: 'File exists' };
