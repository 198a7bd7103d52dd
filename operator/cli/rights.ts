/** What a person who may not read something is told: what it is, and the rules to ask for. */
import type { MissingRight } from './ports.ts';

/** Shipped in config/rbac: everything that is read of the whole cluster. */
const clusterRole = 'metaveil-cluster-view';

export function rightsLines(missing: readonly MissingRight[]): readonly string[] {
  const wide = missing.filter(({ namespace }) => namespace === '');
  const namespaces = [...new Set(missing.map(({ namespace }) => namespace))].filter((name) => name !== '');
  return [
    'your credentials lack rights that an answer takes:',
    ...missing.map((right) => `  ${right.verb} ${qualified(right)}${placeOf(right)}`),
    ...(wide.length === 0
      ? []
      : [`ask for the ClusterRole ${clusterRole} in the whole cluster, which has these rules:`]),
    ...wide.flatMap(ruleLines),
    ...namespaces.flatMap((namespace) => [
      `ask for the ClusterRole view in namespace ${namespace}, which has these rules:`,
      ...missing.filter((right) => right.namespace === namespace).flatMap(ruleLines),
    ]),
  ];
}

function qualified({ group, resource }: MissingRight): string {
  return group === '' ? resource : `${resource}.${group}`;
}

function placeOf({ namespace }: MissingRight): string {
  return namespace === '' ? '' : ` in namespace ${namespace}`;
}

function ruleLines({ verb, group, resource }: MissingRight): readonly string[] {
  return [`  - apiGroups: [${group === '' ? "''" : group}]`, `    resources: [${resource}]`, `    verbs: [${verb}]`];
}
