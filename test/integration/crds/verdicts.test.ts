/** The offline check says what a real API server says: object by object, message by message, default by default. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parseDocuments } from '../../../operator/adapters/files/parse.ts';
import { fileSamples, loadDocuments } from '../../../operator/adapters/files/load.ts';
import { kinds, type KindName } from '../../../operator/api/v1/index.ts';
import { formatProblem } from '../../../operator/local/problem.ts';
import type { LoadOutcome } from '../../../operator/local/ports.ts';
import { sharedCluster } from '../../cluster/shared.ts';
import { Namespaces } from '../../cluster/kinds.ts';
import { mutationsOf } from './mutations.ts';
import { writtenRows } from './rows.ts';
import { Submitter, type ServerVerdict } from './submit.ts';

const namespace = 'verdicts';
let server: Submitter;

before(async () => {
  const cluster = await sharedCluster();
  await cluster.api.create(Namespaces, { metadata: { name: namespace } });
  server = new Submitter(cluster, namespace);
});

after(async () => {
  await server.close();
});

function textOf(kind: KindName, name: string, spec: unknown): string {
  const scope = kinds.find((definition) => definition.kind === kind)?.scope;
  // The cluster is shared: objects of the same name may exist.
  const metadata = scope === 'Namespaced' ? { name, namespace } : { name: 'verdict-row' };
  return JSON.stringify({ apiVersion: 'metaveil.dev/v1', kind, metadata, spec });
}

function offline(text: string): LoadOutcome {
  const { documents, problems } = parseDocuments('row.yaml', text);
  return problems.length > 0 ? { kind: 'rejected', problems } : loadDocuments(documents);
}

function problemsOf(outcome: LoadOutcome): string {
  return outcome.kind === 'loaded' ? '' : outcome.problems.map(formatProblem).join('\n');
}

/** undefined where both agree, down to the defaults. */
async function disagreement(kind: KindName, text: string): Promise<string | undefined> {
  const [real, own] = [await server.submit(kind, text), offline(text)];
  if (real.kind === 'refused') {
    return own.kind === 'rejected' ? undefined : `only the API server refuses: ${real.message}`;
  }
  if (own.kind === 'rejected') return `only the offline check refuses: ${problemsOf(own)}`;
  const [resource] = own.samples.resources;
  return isDeepEqual(real.object.spec, resource?.object.spec)
    ? undefined
    : `defaults differ: ${JSON.stringify(real.object.spec)} and ${JSON.stringify(resource?.object.spec)}`;
}

function isDeepEqual(one: unknown, other: unknown): boolean {
  try {
    assert.deepEqual(one, other);
    return true;
  } catch {
    return false;
  }
}

/** Rows are many and independent; a few at a time keep the server busy without burying it. */
async function disagreements(
  rows: readonly { readonly sentence: string; readonly kind: KindName; readonly text: string }[],
): Promise<readonly string[]> {
  const found: string[] = [];
  const queue = rows.values();
  const worker = async () => {
    for (const { sentence, kind, text } of queue) {
      const difference = await disagreement(kind, text);
      if (difference !== undefined) found.push(`${kind}: ${sentence}: ${difference}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return found;
}

describe('rows written by hand', () => {
  for (const row of writtenRows) {
    const verdict = row.refusal === undefined ? 'accepted' : `refused, ${row.refusal}`;
    it(`${row.kind}: ${row.sentence}: ${verdict}`, async () => {
      const text = textOf(row.kind, row.name, row.spec);
      const real: ServerVerdict = await server.submit(row.kind, text);
      assert.equal(real.kind, row.refusal === undefined ? 'accepted' : 'refused', JSON.stringify(real));
      if (real.kind === 'refused') assert.ok(real.message.includes(row.refusal ?? ''), real.message);
      assert.equal(await disagreement(row.kind, text), undefined);
    });
  }
});

describe('mutations of the full samples', () => {
  it('get the same verdict and the same defaults offline as from the API server', { timeout: 300_000 }, async () => {
    const loaded = await fileSamples.load('samples');
    assert.equal(loaded.kind, 'loaded', problemsOf(loaded));
    const rows = loaded.samples.resources.flatMap(({ object }) => {
      const definition = kinds.find(({ kind }) => kind === object.kind);
      assert.ok(definition);
      return mutationsOf(definition.spec, object.spec).map(({ sentence, spec }) => ({
        sentence: `${object.metadata.name}: ${sentence}`,
        kind: object.kind,
        text: textOf(object.kind, object.metadata.name, spec),
      }));
    });
    assert.ok(rows.length > 1000, `only ${String(rows.length)} rows`);
    assert.deepEqual(await disagreements(rows), []);
  });
});

describe('YAML as people write it', () => {
  const policy = (spec: string) =>
    `apiVersion: metaveil.dev/v1\nkind: MetadataPolicy\nmetadata: {name: example, namespace: ${namespace}}\nspec:\n${spec}`;
  const proxy = (spec: string) =>
    `apiVersion: metaveil.dev/v1\nkind: MetadataProxy\nmetadata: {name: verdict-row}\nspec:\n${spec}`;
  const labelled = (value: string) => policy(`  podSelector: {matchLabels: {a: ${value}}}\n`);
  const texts: readonly (readonly [string, KindName, string])[] = [
    ...['yes', 'no', 'on', 'off', 'y', 'n', 'True', 'NULL', '~', '12', '0755', '1e3', '1_000', '0x1f'].map(
      (value) => [`the bare word ${value} for a string`, 'MetadataPolicy', labelled(value)] as const,
    ),
    ...['"yes"', "'no'", '12:30', '2026-11-21', '1.2.3', '1.0.0-rc', 'nope', '0b12', '"1e3"'].map(
      (value) => [`the text ${value} for a string`, 'MetadataPolicy', labelled(value)] as const,
    ),
    ...['yes', 'off', 'y', 'TRUE', '"true"', '1', 'ja'].map(
      (value) => [`${value} for a boolean`, 'MetadataProxy', proxy(`  removeStartupTaint: ${value}\n`)] as const,
    ),
    ...['60', '60.0', '6e1', '0o74', '"60"', '1:00', '6_0'].map(
      (value) =>
        [
          `${value} for a number`,
          'MetadataProxy',
          proxy(`  tolerations: [{key: a, effect: NoExecute, tolerationSeconds: ${value}}]\n`),
        ] as const,
    ),
    ['an anchor and its alias', 'MetadataPolicy', policy('  conceal: [&a instance/id, *a]\n')],
    [
      'a merged mapping',
      'MetadataPolicy',
      policy('  podSelector:\n    matchLabels: &l {a: b}\n    matchExpressions: []\n'),
    ],
    ['a merge key', 'MetadataPolicy', policy('  podSelector: {matchLabels: {<<: {a: b}, c: d}}\n')],
    ['a block text', 'MetadataPolicy', policy('  conceal:\n    - >-\n      instance/id\n')],
    ['a block text with its line break', 'MetadataPolicy', policy('  conceal:\n    - |\n      instance/id\n')],
    ['a key twice', 'MetadataPolicy', policy('  mode: Audit\n  mode: Enforce\n')],
    ['no spec', 'MetadataPolicy', policy('')],
    ['a list for spec', 'MetadataPolicy', policy('  - mode: Audit\n')],
    ['an unknown field beside spec', 'MetadataPolicy', `${policy('  mode: Audit\n')}data: {}\n`],
    ['a status of its own', 'MetadataPolicy', `${policy('  mode: Audit\n')}status: {workloads: 7}\n`],
  ];

  for (const [sentence, kind, text] of texts) {
    it(`${sentence}: both agree`, async () => {
      assert.equal(await disagreement(kind, text), undefined);
    });
  }
});

describe('metadata', () => {
  const policy = (metadata: object) =>
    JSON.stringify({ apiVersion: 'metaveil.dev/v1', kind: 'MetadataPolicy', metadata, spec: {} });
  const named = (more: object) => policy({ name: 'example', namespace, ...more });
  const texts: readonly (readonly [string, string])[] = [
    ['a name', named({})],
    ['a name with dots', named({ name: 'a.b' })],
    ['the longest name', named({ name: 'a'.repeat(63) })],
    ['a longer name', named({ name: 'a'.repeat(64) })],
    ['a name in upper case', named({ name: 'Example' })],
    ['a name with an underscore', named({ name: 'a_b' })],
    ['a name that ends in a dash', named({ name: 'a-' })],
    ['an empty name', named({ name: '' })],
    ['a number for a name', named({ name: 12 })],
    ['a label', named({ labels: { 'example.com/a': 'b' } })],
    ['a bad label key', named({ labels: { 'a b': 'c' } })],
    ['a bad label value', named({ labels: { a: 'b c' } })],
    ['a number for a label', named({ labels: { a: 1 } })],
    ['an annotation', named({ annotations: { a: 'b c\n' } })],
    ['a bad annotation key', named({ annotations: { 'a b': 'c' } })],
    ['a boolean for an annotation', named({ annotations: { a: true } })],
    ['an unknown field', named({ label: {} })],
    ['no labels', named({ labels: {}, annotations: {} })],
  ];

  for (const [sentence, text] of texts) {
    it(`${sentence}: both agree`, async () => {
      assert.equal(await disagreement('MetadataPolicy', text), undefined);
    });
  }
});
