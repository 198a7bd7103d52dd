import type { TestCase, TestSource } from '../../cli/ports.ts';
import { testSchema } from '../../cli/test-schema.ts';
import type { TestFile } from '../../cli/test-schema.ts';
import type { Problem } from '../../local/ports.ts';
import { limits } from './limits.ts';
import { parseDocuments, type SourceDocument } from './parse.ts';
import { readSources } from './read.ts';
import { checkAgainst } from './validate.ts';
import { isMapping } from './values.ts';

/** Cases of `metaveil test` from the file system. */
export const fileTests: TestSource = {
  async load(path) {
    const { texts, problems } = await readSources(path);
    const parsed = texts.map(({ file, text }) => parseDocuments(file, text));
    const read = parsed.flatMap(({ documents }) => documents.map(readTest));
    const all = [
      ...problems,
      ...parsed.flatMap((file) => file.problems),
      ...read.flatMap((document) => document.problems),
    ];
    const cases = read.flatMap((document) => document.cases);
    if (all.length === 0 && cases.length === 0) all.push(withoutCases(path));
    return all.length === 0 ? { kind: 'loaded', cases } : { kind: 'rejected', problems: all.slice(0, limits.problems) };
  },
};

interface ReadTest {
  readonly cases: readonly TestCase[];
  readonly problems: readonly Problem[];
}

function readTest(document: SourceDocument): ReadTest {
  if (!isMapping(document.value)) {
    const what = 'the document is not a mapping';
    return { cases: [], problems: [{ at: document.at, what, fix: 'write apiVersion, kind and cases' }] };
  }
  const { object, findings } = checkAgainst(testSchema, document.value, 'metaveil test');
  if (findings.length > 0) return { cases: [], problems: findings.map((finding) => document.problem(finding)) };
  const { cases } = object as unknown as TestFile;
  return { cases: cases.map((each, index) => ({ ...each, at: placesOf(document, index) })), problems: [] };
}

function placesOf(document: SourceDocument, index: number): TestCase['at'] {
  const at = (...field: readonly string[]) =>
    document.problem({ path: ['cases', index, ...field], target: 'value', what: '', fix: '' }).at;
  return { case: at(), pod: at('pod'), path: at('path') };
}

/** A suite that was emptied must not pass. */
function withoutCases(path: string): Problem {
  return { at: { file: path, line: 1, column: 1 }, what: 'the file has no case', fix: 'add a Test with cases' };
}
