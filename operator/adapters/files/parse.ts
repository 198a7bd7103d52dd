import { Composer, LineCounter, Parser, type Document, type ErrorCode, type YAMLError } from 'yaml';
import { printable } from '../../local/problem.ts';
import type { Problem, SourcePosition } from '../../local/ports.ts';
import { convert, spanKey, type Span } from './convert.ts';
import type { Finding } from './finding.ts';
import { limits } from './limits.ts';
import { tooDeepAt } from './nesting.ts';
import { kubernetesTags } from './tags.ts';

/** One YAML document as plain values. */
export interface SourceDocument {
  readonly value: unknown;
  readonly at: SourcePosition;
  /** The problem of a finding: where its field or value stands, or the nearest parent that exists. */
  problem(finding: Finding): Problem;
}

export interface ParsedText {
  readonly documents: readonly SourceDocument[];
  /** Not empty: `documents` is not all of the file. */
  readonly problems: readonly Problem[];
}

/** Reads the YAML documents of one file; empty ones are left out. */
export function parseDocuments(file: string, text: string): ParsedText {
  const lines = new LineCounter();
  const at = (offset: number): SourcePosition => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const control = controlCharacterAt(text);
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  if (control !== undefined) return refused(at(control), 'a control character', 'remove it, or write it escaped');
  const deep = tooDeepAt(tokens, limits.depth);
  if (deep !== undefined) {
    return refused(at(deep), `values are nested deeper than ${String(limits.depth)} levels`, 'flatten the document');
  }
  const composer = new Composer({ version: '1.1', customTags: kubernetesTags, uniqueKeys: false, logLevel: 'silent' });
  return readAll(composer.compose(tokens), at);
}

function refused(at: SourcePosition, what: string, fix: string): ParsedText {
  return { documents: [], problems: [{ at, what, fix }] };
}

function readAll(documents: Iterable<Document.Parsed>, at: (offset: number) => SourcePosition): ParsedText {
  const result = { documents: [] as SourceDocument[], problems: [] as Problem[] };
  let count = 0;
  for (const document of documents) {
    count += 1;
    if (count > limits.documentsPerFile) {
      const what = `the file has more than ${String(limits.documentsPerFile)} documents`;
      result.problems.push({ at: at(document.range[0]), what, fix: 'split the file' });
      break;
    }
    const read = readDocument(document, at);
    result.problems.push(...read.problems);
    result.documents.push(...read.documents);
  }
  return result;
}

function readDocument(document: Document.Parsed, at: (offset: number) => SourcePosition): ParsedText {
  const syntax = [...document.errors, ...document.warnings].map((error) => syntaxProblem(error, at));
  if (syntax.length > 0) return { documents: [], problems: syntax };
  if (document.directives.yaml.explicit === true || Object.keys(document.directives.tags).length > 1) {
    return refused(at(0), 'the file has a % directive', 'remove the directive');
  }
  const { value, spans, unreadable } = convert(document);
  const problems = unreadable.map(({ offset, what, fix }) => ({ at: at(offset), what, fix }));
  if (problems.length > 0 || value === null) return { documents: [], problems };
  const start = at(spans.get(spanKey([]))?.value ?? 0);
  const problem = ({ path, target, what, fix }: Finding) => {
    const { span, exact } = nearestSpan(spans, path);
    return { at: at(exact && target === 'value' ? span.value : span.key), what, fix };
  };
  return { documents: [{ value, at: start, problem }], problems };
}

function nearestSpan(spans: ReadonlyMap<string, Span>, path: Finding['path']): { span: Span; exact: boolean } {
  for (let length = path.length; length >= 0; length -= 1) {
    const span = spans.get(spanKey(path.slice(0, length)));
    if (span !== undefined) return { span, exact: length === path.length };
  }
  return { span: { key: 0, value: 0 }, exact: false };
}

const fixes: Partial<Record<ErrorCode, string>> = {
  TAB_AS_INDENT: 'indent with spaces',
  BAD_INDENT: 'indent the line like its siblings',
  BLOCK_AS_IMPLICIT_KEY: 'put the nested mapping on a line of its own',
  MISSING_CHAR: 'add the missing character',
  MULTILINE_IMPLICIT_KEY: 'write the key on one line, followed by a colon',
  TAG_RESOLVE_FAILED: 'remove the tag',
  UNEXPECTED_TOKEN: 'remove it, or put the text in quotes',
};

function syntaxProblem(error: YAMLError, at: (offset: number) => SourcePosition): Problem {
  const sentence = printable(error.message.split('\n')[0] ?? '').slice(0, 200);
  return {
    at: at(error.pos[0]),
    what: `not valid YAML: ${sentence}`,
    fix: fixes[error.code] ?? 'correct the YAML here',
  };
}

/** The library Kubernetes uses refuses them too; escaped in double quotes they are fine. */
function controlCharacterAt(text: string): number | undefined {
  // eslint-disable-next-line no-control-regex -- control characters are what it looks for
  const index = text.search(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f\ufffe\uffff]/);
  return index === -1 ? undefined : index;
}
