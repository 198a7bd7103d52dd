/** Many blocks over several threads; stops at the first finding. */
import { Worker } from 'node:worker_threads';
import { add, blocksOf, layers, type Block, type BlockResult, type Finding, type Layer } from './blocks.ts';
import { emptyTally, type Tally } from './memory.ts';

export interface Campaign {
  readonly cases: number;
  /** 32 bits. */
  readonly seed: number;
  readonly threads: number;
  readonly onBlock?: (done: number, all: number) => void;
}

export interface CampaignResult {
  readonly tallies: Readonly<Record<Layer, Tally>>;
  readonly findings: readonly Finding[];
}

export async function runCampaign({ cases, seed, threads, onBlock }: Campaign): Promise<CampaignResult> {
  const blocks = blocksOf(cases, seed);
  const queue = [...blocks];
  const findings: Finding[] = [];
  const tallies = { memory: emptyTally(), handler: emptyTally(), sockets: emptyTally() };
  let done = 0;
  const take = (result: BlockResult): void => {
    add(tallies[result.layer], result.tally);
    if (result.finding !== undefined) findings.push(result.finding);
    done += 1;
    onBlock?.(done, blocks.length);
  };
  const next = (): Block | undefined => (findings.length > 0 ? undefined : queue.shift());
  await Promise.all(Array.from({ length: Math.min(threads, blocks.length) }, () => work(next, take)));
  return { tallies, findings };
}

/** One thread, as long as there are blocks. */
function work(next: () => Block | undefined, take: (result: BlockResult) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const worker = new Worker(new URL('thread.ts', import.meta.url));
  const proceed = (): void => {
    const block = next();
    if (block === undefined) void worker.terminate().then(() => resolve(undefined));
    else worker.postMessage(block);
  };
  worker.on('message', (result: BlockResult) => {
    take(result);
    proceed();
  });
  worker.once('error', reject);
  proceed();
  return promise;
}

/** `LAYER: N cases, …`, one line per layer and one for all. */
export function summaryOf({ tallies, findings }: CampaignResult): readonly string[] {
  const sum = emptyTally();
  const lines = layers.map((layer) => {
    add(sum, tallies[layer]);
    return lineOf(layer, tallies[layer]);
  });
  const denied = Object.entries(sum.denied).sort(([, one], [, other]) => other - one);
  return [
    ...lines,
    lineOf('all', sum),
    `denied: ${denied.map(([code, count]) => `${code} ${count}`).join(', ')}`,
    `bypasses: ${findings.length}`,
  ];
}

function lineOf(name: string, { cases, served, honest, honestServed }: Tally): string {
  const share = (part: number, whole: number): string => (whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)} %`);
  return `${name}: ${cases} cases, ${served} served (${share(served, cases)}), ${honest} honest, ${honestServed} of them served (${share(honestServed, honest)})`;
}

/** A finding with the line that repeats it. */
export function findingText({ message, case: found }: Finding): string {
  return `${message}\n  npm run fuzz -- --replay '${JSON.stringify(found).replaceAll("'", '\\u0027')}'`;
}
