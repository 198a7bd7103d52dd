/** The cases in blocks, each with a seed of its own: any of them can be run alone, anywhere, with the same result. */
import fc from 'fast-check';
import { HandlerStage, shippedHandler, type MakeHandler } from './handler.ts';
import { emptyTally, product, stageFor, tryInMemory, type Side, type Tally } from './memory.ts';
import type { World } from './reference.ts';
import { bytesOf, requests, sequences, wireEdit, type FuzzRequest } from './requests.ts';
import { SocketStage } from './sockets.ts';
import { worlds } from './worlds.ts';

export const layers = ['memory', 'handler', 'sockets'] as const;
export type Layer = (typeof layers)[number];

export interface Block {
  readonly layer: Layer;
  readonly seed: number;
  readonly cases: number;
}

/** All that a case is made of. */
export interface Case {
  readonly layer: Layer;
  readonly world: World;
  readonly request: FuzzRequest;
  /** What came before it on its connection. */
  readonly before?: FuzzRequest;
  /** What is sent instead of the request's own bytes. */
  readonly wire?: string;
}

export interface Finding {
  readonly case: Case;
  readonly message: string;
}

export interface BlockResult {
  readonly layer: Layer;
  readonly tally: Tally;
  /** The smallest case that fast-check could make of the first one that failed. */
  readonly finding?: Finding;
}

/** A block has few worlds, because a policy set costs more to make than a request. */
const worldsPerBlock = 64;
const podsPerNode = 16;
const blockCases: Readonly<Record<Layer, number>> = { memory: 25_000, handler: 5_000, sockets: 100 };

/** How many cases each layer gets of a number: the further out, the dearer. */
export function sharesOf(cases: number): Readonly<Record<Layer, number>> {
  const handler = Math.floor(cases / 20);
  const sockets = Math.min(Math.floor(cases / 200), 20_000);
  return { memory: cases - handler - sockets, handler, sockets };
}

export function blocksOf(cases: number, seed: number): readonly Block[] {
  const shares = sharesOf(cases);
  const blocks: Block[] = [];
  for (const layer of layers) {
    for (let left = shares[layer]; left > 0; left -= blockCases[layer]) {
      blocks.push({ layer, seed: mix(seed, blocks.length), cases: Math.min(left, blockCases[layer]) });
    }
  }
  return blocks;
}

/** A 32-bit number that differs with both arguments. */
function mix(seed: number, index: number): number {
  const mixed = Math.imul((seed ^ Math.imul(index + 1, 0x9e3779b1)) | 0, 0x85ebca6b);
  return (mixed ^ (mixed >>> 13)) | 0;
}

/** What is on trial; by default what is shipped. */
export interface Trial {
  readonly side?: Side;
  readonly makeHandler?: MakeHandler;
}

export async function runBlock(
  block: Block,
  { side = product, makeHandler = shippedHandler }: Trial = {},
): Promise<BlockResult> {
  const count = block.layer === 'sockets' ? podsPerNode : worldsPerBlock;
  const made = fc.sample(worlds, { seed: block.seed, numRuns: count });
  switch (block.layer) {
    case 'memory':
      return inMemory(block, made, side);
    case 'handler':
      return inHandler(block, made, makeHandler);
    case 'sockets':
      return overSockets(block, made);
  }
}

const at = <T>(items: readonly T[], index: number): T => items[index % items.length] as T;

function inMemory(block: Block, made: readonly World[], side: Side): BlockResult {
  const tally = emptyTally();
  const stages = made.map((world) => stageFor(world, side));
  const property = fc.property(fc.nat(made.length - 1), requests, (world, request) =>
    tryInMemory(request, at(stages, world), side, tally),
  );
  const details = fc.check(property, { seed: block.seed, numRuns: block.cases });
  const [world = 0, request] = details.counterexample ?? [];
  return resultOf(block, tally, details, request && { world: at(made, world), request });
}

async function inHandler(block: Block, made: readonly World[], make: MakeHandler): Promise<BlockResult> {
  const tally = emptyTally();
  const stages = made.map((world) => new HandlerStage(world, make));
  const property = fc.asyncProperty(fc.nat(made.length - 1), sequences, async (world, { before, request }) => {
    if (before !== undefined) await at(stages, world).try(before, emptyTally());
    await at(stages, world).try(request, tally);
  });
  const details = await fc.check(property, { seed: block.seed, numRuns: block.cases });
  for (const stage of stages) stage.close();
  const [world = 0, sequence] = details.counterexample ?? [];
  return resultOf(block, tally, details, sequence && { world: at(made, world), ...sequence });
}

async function overSockets(block: Block, made: readonly World[]): Promise<BlockResult> {
  const tally = emptyTally();
  const stage = await SocketStage.start(made);
  try {
    const property = fc.asyncProperty(fc.nat(made.length - 1), requests, wireEdit, (world, request, edit) =>
      stage.try(world, request, tally, edit?.(bytesOf(request.raw))),
    );
    // A finding of the node's server stays, so the first one is not made smaller.
    const details = await fc.check(property, { seed: block.seed, numRuns: block.cases, endOnFailure: true });
    const [world = 0, request, edit] = details.counterexample ?? [];
    const wire = request && edit?.(bytesOf(request.raw));
    const found = request && { world: at(onOneNode(made), world), request, ...(wire !== undefined && { wire }) };
    return resultOf(block, tally, details, found);
  } finally {
    await stage.close();
  }
}

function onOneNode(made: readonly World[]): readonly World[] {
  const { mode, defaultProfile, unboundWorkloads, platform } = at(made, 0);
  return made.map((world) => ({ ...world, mode, defaultProfile, unboundWorkloads, platform }));
}

interface Details {
  readonly failed: boolean;
  readonly errorInstance: unknown;
}

function resultOf(
  { layer }: Block,
  tally: Tally,
  details: Details,
  found: Omit<Case, 'layer'> | undefined,
): BlockResult {
  if (!details.failed || found === undefined) return { layer, tally };
  const { errorInstance: error } = details;
  return {
    layer,
    tally,
    finding: { case: { layer, ...found }, message: error instanceof Error ? error.message : String(error) },
  };
}

/** Runs one case again. Throws what it threw. */
export async function replay(
  { layer, world, before, request, wire }: Case,
  { side = product, makeHandler = shippedHandler }: Trial = {},
): Promise<Tally> {
  const tally = emptyTally();
  if (layer === 'memory') tryInMemory(request, stageFor(world, side), side, tally);
  else if (layer === 'handler') {
    const stage = new HandlerStage(world, makeHandler);
    if (before !== undefined) await stage.try(before, emptyTally());
    await stage.try(request, tally);
    stage.close();
  } else {
    const stage = await SocketStage.start([world]);
    await stage.try(0, request, tally, wire).finally(() => stage.close());
  }
  return tally;
}

export function add(sum: Tally, { cases, served, honest, honestServed, denied }: Tally): void {
  sum.cases += cases;
  sum.served += served;
  sum.honest += honest;
  sum.honestServed += honestServed;
  for (const [code, count] of Object.entries(denied)) sum.denied[code] = (sum.denied[code] ?? 0) + count;
}
