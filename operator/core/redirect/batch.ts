/** Batches for `nft -j`. nft loads a batch as a whole or not at all. */
import type { RedirectPlan } from './plan.ts';
import { tableName } from './plan.ts';
import { tableOf } from './table.ts';

/**
 * What a batch is based on. Handles are never used twice, so a batch fails when somebody made, removed or replaced the
 * table since it was looked at: nobody's table is overwritten by mistake.
 */
export type Expected = { readonly kind: 'missing' } | { readonly kind: 'present'; readonly handle: number };

const family = 'inet';

/** Puts the plan's table in the place of what was there. */
export function replacement(plan: RedirectPlan, expected: Expected): string {
  const { sets, chains, rules } = tableOf(plan);
  const place = { family, table: tableName };
  return batch([
    ...(expected.kind === 'present' ? [deletion(expected.handle)] : []),
    { create: { table: { family, name: tableName } } },
    ...sets.map((set) => ({ add: { set: { ...place, ...set } } })),
    ...chains.map((chain) => ({ add: { chain: { ...place, ...chain } } })),
    ...rules.map((rule) => ({ add: { rule: { ...place, ...rule } } })),
  ]);
}

/** Removes the table that has this handle. */
export function removal(handle: number): string {
  return batch([deletion(handle)]);
}

/** Without a name: nft would prefer it to the handle. */
function deletion(handle: number): object {
  return { delete: { table: { family, handle } } };
}

function batch(commands: readonly object[]): string {
  return JSON.stringify({ nftables: commands });
}
