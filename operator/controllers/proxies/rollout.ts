/** Which of the per-node Deployments may change now, so that at most `maxUnavailable` nodes update at once. */
import type { AppliedObject } from '../ports.ts';
import { templateHashAnnotation } from './workloads.ts';

/** What is known of a Deployment that exists. */
export interface ExistingDeployment {
  readonly name: string;
  readonly templateHash: string;
  /**
   * `settled`: its newest template is the one that runs, and available. `node-away`: nothing can run there now, so
   * nobody waits for it.
   */
  readonly state: 'settled' | 'unsettled' | 'node-away';
}

export interface Rollout {
  /** To apply now: new nodes, Deployments that are up to date, and as many outdated ones as the budget allows. */
  readonly apply: readonly AppliedObject[];
  /** Names of the outdated ones that have to wait. Sorted. */
  readonly waiting: readonly string[];
}

/**
 * Only Deployments with a new template count against the budget; one that is still rolling out occupies a place.
 * A new node is served at once: nothing runs there that could break.
 */
export function planRollout(
  desired: readonly AppliedObject[],
  existing: readonly ExistingDeployment[],
  maxUnavailable: string,
): Rollout {
  const byName = new Map(existing.map((each) => [each.name, each]));
  const isOutdated = (object: AppliedObject) => {
    const present = byName.get(object.metadata.name);
    return present !== undefined && present.templateHash !== object.metadata.annotations?.[templateHashAnnotation];
  };
  const outdated = desired.filter(isOutdated).sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  // A node that is not served already loses nothing by its update, so it goes first and takes the place it occupies.
  const isServed = ({ metadata }: AppliedObject) => byName.get(metadata.name)?.state === 'settled';
  const unserved = outdated.filter((object) => !isServed(object));
  const served = outdated.filter(isServed);
  const unsettled = desired.filter(({ metadata }) => byName.get(metadata.name)?.state === 'unsettled').length;
  const places = Math.max(0, budget(maxUnavailable, desired.length) - unsettled);
  return {
    apply: [...desired.filter((object) => !isOutdated(object)), ...unserved, ...served.slice(0, places)],
    waiting: served.slice(places).map(({ metadata }) => metadata.name),
  };
}

/** A percentage is of all nodes, rounded up: at least one node can always proceed. */
function budget(maxUnavailable: string, nodes: number): number {
  if (!maxUnavailable.endsWith('%')) return Number(maxUnavailable);
  return Math.max(1, Math.ceil((Number(maxUnavailable.slice(0, -1)) * nodes) / 100));
}
