import { customResourceDefinition, nameMaxLength } from '../../api/v1/crd.ts';
import { conditionTypes, reasons, type KindDefinition, type Profile } from '../../api/v1/index.ts';
import { profiles } from '../../core/policy/profiles.ts';
import { profileLines } from '../explain.ts';
import { fieldRows, ruleRows, type FieldRow, type RuleRow } from './fields.ts';
import { generatedNotice, type GeneratedFile } from './file.ts';
import { table } from './table.ts';

const folder = 'docs/reference';

/** One page per kind, one for conditions, one for profiles and an index. */
export function referenceFiles(kinds: readonly KindDefinition[]): readonly GeneratedFile[] {
  return [
    { path: `${folder}/README.md`, text: page(indexPage(kinds)) },
    ...kinds.map((kind) => ({ path: `${folder}/${pageName(kind)}`, text: page(kindPage(kind)) })),
    { path: `${folder}/conditions.md`, text: page(conditionsPage()) },
    { path: `${folder}/profiles.md`, text: page(profilesPage()) },
  ];
}

function page(sections: readonly string[]): string {
  return `${[`<!-- ${generatedNotice} -->`, ...sections].join('\n\n')}\n`;
}

function pageName(kind: KindDefinition): string {
  return `${kind.kind.toLowerCase()}.md`;
}

function indexPage(kinds: readonly KindDefinition[]): readonly string[] {
  const rows = kinds.map((kind) => [
    `[${kind.kind}](${pageName(kind)})`,
    `\`${kind.shortName}\``,
    kind.scope,
    kind.description,
  ]);
  return [
    '# Reference',
    'API group `metaveil.dev`, version `v1`. `kubectl get metaveil -A` lists the objects of all kinds.',
    table(['Kind', 'Short name', 'Scope', 'What it is'], rows),
    'What conditions and reasons mean: [conditions](conditions.md). What each profile hides: [profiles](profiles.md). What a pod is refused, and its limits: [refusals](refusals.md). What the controller measures: [metrics](metrics.md).',
  ];
}

function kindPage(kind: KindDefinition): readonly string[] {
  return [
    `# ${kind.kind}`,
    kind.description,
    table(['', ''], headRows(kind)),
    '## Spec',
    kind.spec.description ?? '',
    fieldTable(fieldRows('spec', kind.spec)),
    ...rulesSection(kind),
    '## Status',
    `${kind.status.description ?? ''} The meaning of every reason: [conditions](conditions.md).`,
    fieldTable(fieldRows('status', kind.status)),
    '## Columns of kubectl get',
    table(['Column', 'Shown', 'What it is'], columnRows(kind)),
  ];
}

function headRows(kind: KindDefinition): readonly (readonly string[])[] {
  const { names } = customResourceDefinition(kind).spec;
  return [
    ['API version', '`metaveil.dev/v1`'],
    ['Resource', `\`${names.plural}\`, short name \`${kind.shortName}\`, category \`${names.categories.join(', ')}\``],
    ['Scope', kind.scope],
    ['metadata.name', `at most ${String(nameMaxLength(kind))} characters`],
    ['Field selectors', kind.selectableFields.map((path) => `\`${path.slice(1)}\``).join(', ')],
  ];
}

function rulesSection(kind: KindDefinition): readonly string[] {
  const rules = [...kind.rootRules.map((rule) => ({ ...rule, path: '(object)' })), ...ruleRows('spec', kind.spec)];
  if (rules.length === 0) return [];
  return ['## Rules', 'The API server refuses an object that breaks one of these.', ruleTable(rules)];
}

function ruleTable(rules: readonly RuleRow[]): string {
  return table(
    ['Field', 'Message', 'CEL'],
    rules.map(({ path, message, rule }) => [`\`${path}\``, message, `\`${rule}\``]),
  );
}

function fieldTable(rows: readonly FieldRow[]): string {
  return table(
    ['Field', 'Type', 'Default', 'Bounds', 'Description'],
    rows.map((row) => [
      `\`${row.path}\``,
      row.type,
      row.default === '' ? '' : `\`${row.default}\``,
      [...(row.required ? ['required'] : []), ...row.bounds].join('; '),
      row.description,
    ]),
  );
}

function columnRows(kind: KindDefinition): readonly (readonly string[])[] {
  return kind.columns.map((column) => [
    column.name,
    'priority' in column ? 'with `-o wide`' : 'always',
    column.description,
  ]);
}

function conditionsPage(): readonly string[] {
  const rows = (sentences: Readonly<Record<string, string>>) =>
    Object.entries(sentences).map(([name, sentence]) => [`\`${name}\``, sentence]);
  return [
    '# Conditions',
    'Conditions are written as a full list, Ready first. A new object carries Ready Unknown, Pending until the controller has seen it.',
    '## Types',
    table(['Type', 'Meaning'], rows(conditionTypes)),
    '## Reasons',
    table(['Reason', 'Meaning'], rows(reasons)),
  ];
}

/** Word for word what the command prints. */
function profilesPage(): readonly string[] {
  const sections = (Object.keys(profiles) as Profile[]).flatMap((profile) => [
    `## ${profile}`,
    ['```', `$ metaveil explain --profile ${profile}`, ...profileLines(profile), '```'].join('\n'),
  ]);
  return [
    '# Profiles',
    'What each profile conceals and reveals before any policy is asked, from `operator/core/policy/profiles.ts`. Named like the Pod Security Standards; a stricter one never reveals more.',
    ...sections,
  ];
}
