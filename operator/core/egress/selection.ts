/**
 * Label selectors as conjunctions of requirements, with subtraction: "what A selects and no B does" as label selectors
 * again. Kubernetes' four operators are closed under negation, so the result is exact or too large, never approximate.
 */
import type { KubernetesLabelSelector } from '../cluster/objects.ts';

export type Operator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';

export interface Requirement {
  readonly key: string;
  readonly operator: Operator;
  /** Sorted; empty for Exists and DoesNotExist. */
  readonly values: readonly string[];
}

/** All requirements must hold; an empty selection selects everything. */
export type Selection = readonly Requirement[];

/** More selectors than this for one policy and namespace are refused: nobody could read what was written. */
const maximumSelections = 8;

const negated = { In: 'NotIn', NotIn: 'In', Exists: 'DoesNotExist', DoesNotExist: 'Exists' } as const;

/** Kubernetes' selector as a selection. An operator that Kubernetes does not have selects nothing it should not: `In []`. */
export function selectionOf(selector: KubernetesLabelSelector | undefined): Selection {
  const labels = Object.entries(selector?.matchLabels ?? {});
  const fromLabels = labels.map(([key, value]) => requirement(key, 'In', [value]));
  const fromExpressions = (selector?.matchExpressions ?? []).map((expression) =>
    requirement(expression.key, isOperator(expression.operator) ? expression.operator : 'In', expression.values ?? []),
  );
  return [...fromLabels, ...fromExpressions];
}

/** The selection as Kubernetes writes it; `{}` for everything. */
export function selectorOf(selection: Selection): KubernetesLabelSelector {
  if (selection.length === 0) return {};
  return {
    matchExpressions: selection.map(({ key, operator, values }) =>
      values.length === 0 ? { key, operator } : { key, operator, values },
    ),
  };
}

/**
 * Selections whose union is `from` without everything the `taken` select.
 * `undefined`: it would take more than eight selectors.
 */
export function subtract(from: Selection, taken: readonly Selection[]): readonly Selection[] | undefined {
  let remaining: readonly Selection[] = [simplify(from)].filter((selection) => selection !== undefined);
  for (const selection of taken) {
    remaining = distinct(remaining.flatMap((rest) => without(rest, selection)));
    if (remaining.length > maximumSelections) return undefined;
  }
  return remaining;
}

/** `rest` and not `taken`: one selection for each requirement of `taken`, with that requirement negated. */
function without(rest: Selection, taken: Selection): Selection[] {
  return taken
    .map(({ key, operator, values }) => simplify([...rest, requirement(key, negated[operator], values)]))
    .filter((selection) => selection !== undefined);
}

function requirement(key: string, operator: Operator, values: readonly string[]): Requirement {
  return { key, operator, values: [...new Set(values)].sort() };
}

function isOperator(text: string): text is Operator {
  return Object.hasOwn(negated, text);
}

/** Merges requirements on the same key; `undefined` if nothing can satisfy them. */
function simplify(selection: Selection): Selection | undefined {
  const keys = [...new Set(selection.map(({ key }) => key))].sort();
  const merged = keys.map((key) =>
    mergeKey(
      key,
      selection.filter((each) => each.key === key),
    ),
  );
  return merged.some((requirements) => requirements === undefined) ? undefined : merged.flatMap((each) => each ?? []);
}

function mergeKey(key: string, requirements: Selection): Selection | undefined {
  const of = (operator: Operator) => requirements.filter((each) => each.operator === operator);
  const excluded = of('NotIn').flatMap(({ values }) => values);
  const allowed = intersection(of('In').map(({ values }) => values))?.filter((value) => !excluded.includes(value));
  const absent = of('DoesNotExist').length > 0;
  const present = of('Exists').length > 0 || allowed !== undefined;
  if (absent) return present ? undefined : [requirement(key, 'DoesNotExist', [])];
  if (allowed !== undefined) return allowed.length === 0 ? undefined : [requirement(key, 'In', allowed)];
  const exists = present ? [requirement(key, 'Exists', [])] : [];
  return excluded.length === 0 ? exists : [...exists, requirement(key, 'NotIn', excluded)];
}

function intersection(lists: readonly (readonly string[])[]): readonly string[] | undefined {
  return lists.length === 0 ? undefined : lists.reduce((left, right) => left.filter((value) => right.includes(value)));
}

/** Drops equal selections and those that another one already covers (it has all of the other's requirements and more). */
function distinct(selections: readonly Selection[]): Selection[] {
  const texts = selections.map((selection) => new Set(selection.map((each) => JSON.stringify(each))));
  return selections.filter((_, index) => {
    const mine = texts[index] ?? new Set<string>();
    return !texts.some((other, at) => at !== index && covers(other, mine) && (other.size < mine.size || at < index));
  });
}

function covers(general: ReadonlySet<string>, specific: ReadonlySet<string>): boolean {
  return [...general].every((text) => specific.has(text));
}
