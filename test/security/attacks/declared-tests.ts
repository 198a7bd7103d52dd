/** The tests that a file declares, read from its source: nothing is run. */
import { existsSync, readFileSync } from 'node:fs';
import ts from 'typescript';

/** A suite or a test. */
export interface DeclaredTest {
  /** Its suites and its name as they are written, joined by ` > `; a name that is a variable is shown as `${…}`. */
  readonly path: string;
  /** Not a suite. One in a loop is declared once and runs more often. */
  readonly isTest: boolean;
  /** Whether this is, or contains, the test that ran under the given path. */
  matches(ran: string): boolean;
}

const declarations = new Set(['describe', 'it', 'test']);

/** Undefined for a file that does not exist. */
export function declaredTests(file: string): readonly DeclaredTest[] | undefined {
  if (!existsSync(file)) return undefined;
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const tests: DeclaredTest[] = [];
  visit(source, { paths: [], patterns: [] }, tests);
  return tests;
}

interface Suites {
  readonly paths: readonly string[];
  readonly patterns: readonly string[];
}

function visit(node: ts.Node, suites: Suites, tests: DeclaredTest[]): void {
  const name = nameOf(node);
  const inside =
    name === undefined ? suites : { paths: [...suites.paths, name.path], patterns: [...suites.patterns, name.pattern] };
  if (name !== undefined) tests.push(declared(inside, name.isTest));
  ts.forEachChild(node, (child) => visit(child, inside, tests));
}

function declared({ paths, patterns }: Suites, isTest: boolean): DeclaredTest {
  const form = new RegExp(`^${patterns.join(' > ')}(?: > .*)?$`, 'su');
  return { path: paths.join(' > '), isTest, matches: (ran) => form.test(ran) };
}

interface Name {
  readonly isTest: boolean;
  readonly path: string;
  readonly pattern: string;
}

/** The name that a call of describe or it gives; undefined for any other node. */
function nameOf(node: ts.Node): Name | undefined {
  if (!ts.isCallExpression(node) || !ts.isIdentifier(node.expression)) return undefined;
  const [first] = node.arguments;
  if (first === undefined || !declarations.has(node.expression.text)) return undefined;
  const isTest = node.expression.text !== 'describe';
  if (ts.isStringLiteralLike(first)) return { isTest, path: first.text, pattern: escaped(first.text) };
  if (!ts.isTemplateExpression(first)) return { isTest, path: '${…}', pattern: '.*' };
  const spans = first.templateSpans.map(({ expression, literal }) => ({
    code: expression.getText(),
    text: literal.text,
  }));
  return {
    isTest,
    path: first.head.text + spans.map(({ code, text }) => `\${${code}}${text}`).join(''),
    pattern: escaped(first.head.text) + spans.map(({ text }) => `.*${escaped(text)}`).join(''),
  };
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/gu, '\\$&');
}
