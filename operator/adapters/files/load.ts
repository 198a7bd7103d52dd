import { quote } from '../../local/problem.ts';
import type {
  ForeignObject,
  LoadedSamples,
  LoadOutcome,
  Located,
  OwnResource,
  Problem,
  SampleSource,
  SourcePosition,
} from '../../local/ports.ts';
import { limits } from './limits.ts';
import { parseDocuments, type SourceDocument } from './parse.ts';
import { readSources } from './read.ts';
import { validateObject } from './validate.ts';

/** Samples from the file system. */
export const fileSamples: SampleSource = {
  async load(path) {
    const { texts, problems } = await readSources(path);
    const parsed = texts.map(({ file, text }) => parseDocuments(file, text));
    const outcome = loadDocuments(parsed.flatMap(({ documents }) => documents));
    const unreadable = [...problems, ...parsed.flatMap((file) => file.problems)];
    if (outcome.kind === 'loaded' && unreadable.length === 0) return outcome;
    return rejected([...unreadable, ...(outcome.kind === 'rejected' ? outcome.problems : [])]);
  },
};

/** Validates documents against their schemas and against each other. */
export function loadDocuments(documents: readonly SourceDocument[]): LoadOutcome {
  const resources: Located<OwnResource>[] = [];
  const others: Located<ForeignObject>[] = [];
  const problems: Problem[] = [];
  for (const document of documents) {
    const verdict = validateObject(document.value);
    if (verdict.kind === 'invalid') problems.push(...verdict.findings.map((finding) => document.problem(finding)));
    else if (verdict.kind === 'resource') resources.push({ object: verdict.object, at: document.at });
    else others.push({ object: verdict.object, at: document.at });
  }
  problems.push(...duplicates(resources, others));
  return problems.length === 0 ? { kind: 'loaded', samples: { resources, others } } : rejected(problems);
}

/** In the order in which a reader meets them; the first ones are enough to work on. */
function rejected(problems: readonly Problem[]): LoadOutcome {
  const sorted = [...problems].sort((one, other) => comparePositions(one.at, other.at));
  return { kind: 'rejected', problems: sorted.slice(0, limits.problems) };
}

function comparePositions(one: SourcePosition, other: SourcePosition): number {
  if (one.file !== other.file) return one.file < other.file ? -1 : 1;
  return one.line - other.line || one.column - other.column;
}

/** One object written twice: which of the two counts would depend on the order of files. */
function duplicates(resources: LoadedSamples['resources'], others: LoadedSamples['others']): readonly Problem[] {
  const first = new Map<string, SourcePosition>();
  const all: readonly Located<OwnResource | ForeignObject>[] = [...resources, ...others];
  const ordered = [...all].sort((one, other) => comparePositions(one.at, other.at));
  return ordered.flatMap(({ object, at }) => {
    const { name, namespace = '' } = object.metadata;
    const key = JSON.stringify([object.apiVersion.split('/').slice(0, -1), object.kind, namespace, name]);
    const before = first.get(key);
    if (before === undefined) {
      first.set(key, at);
      return [];
    }
    const place = `${before.file}:${String(before.line)}:${String(before.column)}`;
    const what = `${object.kind} ${quote(namespace === '' ? name : `${namespace}/${name}`)} is defined twice`;
    return [{ at, what, fix: `remove one of the two; the other is at ${place}` }];
  });
}
