/** `metaveil explain`: one decision with its trace, or the table of a profile. */
import type { Profile } from '../api/v1/index.ts';
import { profiles } from '../core/policy/profiles.ts';
import { readQuestion } from './question.ts';
import type { Asked, Mistake } from './question.ts';
import type { ExplainedCluster } from './ports.ts';
import { table } from './table.ts';
import { verdictOn } from './verdict.ts';
import type { Verdict } from './verdict.ts';

export type Explanation = { readonly kind: 'explained'; readonly verdict: Verdict } | Mistake;

export function explain(cluster: ExplainedCluster, asked: Asked, namespace: string | undefined): Explanation {
  const read = readQuestion(cluster, asked, namespace);
  return read.kind === 'mistake' ? read : { kind: 'explained', verdict: verdictOn(read.question) };
}

export function verdictLines(verdict: Verdict): readonly string[] {
  const { reason, trace, audit, notes } = verdict;
  const decision = reason === undefined ? verdict.decision : `${verdict.decision} (${reason})`;
  const facts: readonly (readonly [string, readonly string[]])[] = [
    ['Pod', [verdict.pod]],
    ['ServiceAccount', [verdict.serviceAccount]],
    ['Identity', [verdict.identity]],
    [
      'Node',
      [
        `${verdict.node} (${verdict.metadataProxy === '' ? 'no MetadataProxy' : `MetadataProxy ${verdict.metadataProxy}`})`,
      ],
    ],
    ['Path', [verdict.version === 'v1' ? verdict.path : `${verdict.path} (asked of a legacy API)`]],
    ['Decision', [`${decision}: ${verdict.meaning}`]],
    ['Trace', trace],
    ...audit.map((found) => ['Would conceal', [found.policy, ...found.trace]] as const),
    ['Note', notes],
  ];
  return table(facts.flatMap(([name, lines]) => lines.map((line, index) => [index === 0 ? name : '', line])));
}

/** A profile as data, for `-o json`. */
export function profileData(profile: Profile): object {
  return { profile, ...profiles[profile] };
}

export function profileLines(profile: Profile): readonly string[] {
  const { otherwise, legacyEndpoints, rows } = profiles[profile];
  const rest = otherwise === 'reveal' ? 'reveals' : 'conceals';
  const legacy = legacyEndpoints === 'Allow' ? 'answered' : 'refused';
  const effects = rows.map(({ effect, pattern, why }) => [effect, pattern, why]);
  return [
    `${profile} ${rest} what no row names; the legacy 0.1 and v1beta1 APIs are ${legacy}.`,
    "A pod's own service account, from its binding, is always served unless a policy conceals it.",
    ...(rows.length === 0 ? [] : ['', ...table([['EFFECT', 'PATTERN', 'WHY'], ...effects])]),
  ];
}
