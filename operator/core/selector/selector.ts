/** Label selectors as the API server evaluates them. */
import type { KubernetesLabelSelector } from '../cluster/objects.ts';

export type Labels = Readonly<Record<string, string>>;

type Requirement = NonNullable<KubernetesLabelSelector['matchExpressions']>[number];

/** Whether `selector` selects an object with `labels`. An absent or empty selector selects everything. */
export function matchesSelector(selector: KubernetesLabelSelector | undefined, labels: Labels): boolean {
  const equalities = Object.entries(selector?.matchLabels ?? {});
  if (!equalities.every(([key, value]) => labelOf(labels, key) === value)) return false;
  return (selector?.matchExpressions ?? []).every((requirement) => holds(requirement, labels));
}

function holds({ key, operator, values = [] }: Requirement, labels: Labels): boolean {
  const value = labelOf(labels, key);
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return false;
  }
}

/** Own properties only: a label key may be `constructor`. */
function labelOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
