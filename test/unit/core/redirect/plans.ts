/** Plans for the tests of redirection. */
import { proxyPorts, redirectedAddresses, tableOwner } from '../../../../operator/core/names.ts';
import type { RedirectPlan } from '../../../../operator/core/redirect/plan.ts';
import { tableOf } from '../../../../operator/core/redirect/table.ts';

export const plan: RedirectPlan = {
  owner: tableOwner,
  nodeAddresses: { ipv4: '10.0.0.7', ipv6: 'fd00::7' },
  metadata: redirectedAddresses,
  ports: proxyPorts,
  instance: { startedAt: 1000, id: '0a1b2c3d' },
  phase: 'serving',
  port: 9880,
};

export type ListedObject = Record<string, Record<string, unknown>>;

/** What nft lists for a plan that was loaded, object by object, when each counter has counted so many packets. */
export function listedObjects(of: RedirectPlan, handle = 7, packets = 0): ListedObject[] {
  const { sets, chains } = tableOf(of);
  const rules = tableOf(of).rules.map((rule) => ({ ...rule, expr: rule.expr.map((each) => counted(each, packets)) }));
  const place = { family: 'inet', table: 'metaveil' };
  let next = handle;
  const listed = (kind: string, body: object): ListedObject => ({ [kind]: { ...place, ...body, handle: next++ } });
  return [
    { metainfo: { version: '1.0.6', json_schema_version: 1 } },
    { table: { family: 'inet', name: 'metaveil', handle } },
    ...sets.map((set) => listed('set', set)),
    ...chains.map((chain) => listed('chain', chain)),
    ...rules.map((rule) => listed('rule', rule)),
  ];
}

function counted(expression: object, packets: number): object {
  return 'counter' in expression ? { counter: { packets, bytes: 60 * packets } } : expression;
}

/** Those objects as nft prints them. */
export function listingOf(objects: readonly object[]): string {
  return JSON.stringify({ nftables: objects });
}
