/**
 * `npm run attacks`: runs the tests of every class of attack and writes docs/security/attack-classes.md. Arguments name
 * classes to run alone; the others keep the figures that the page has.
 */
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { run } from 'node:test';
import { serveCluster } from '../cluster/serve.ts';
import { installTools } from '../tools.ts';
import { attackClasses, type AttackClass } from './attacks/classes.ts';
import { declaredTests } from './attacks/declared-tests.ts';
import { documentFile, documentText, figuresOf, type Figures } from './attacks/document.ts';
import { isPartOf, problemsOf, proofsOf } from './attacks/proofs.ts';

interface FileResult {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
}

interface TestEvent {
  readonly name: string;
  readonly nesting: number;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly details: { readonly type?: string | undefined };
}

/** Runs one file. What was skipped did not pass. */
async function runFile(file: string): Promise<FileResult> {
  const passed: string[] = [];
  const failed: string[] = [];
  const names: string[] = [];
  const stream = run({ files: [resolve(file)], timeout: 900_000 });
  stream.on('test:start', ({ name, nesting }) => names.splice(nesting, Infinity, name));
  const record = (event: TestEvent, list: string[]): void => {
    if (event.details.type === 'suite') return;
    const path = [...names.slice(0, event.nesting), event.name].join(' > ');
    (event.skip !== undefined || event.todo !== undefined ? failed : list).push(path);
  };
  stream.on('test:pass', (event) => record(event, passed));
  stream.on('test:fail', (event) => {
    record(event, failed);
    process.stdout.write(`${String(event.details.error.cause)}\n`);
  });
  stream.resume();
  await once(stream, 'close');
  process.stdout.write(
    `${failed.length === 0 ? '✔' : '✖'} ${file}: ${passed.length} passed, ${failed.length} failed\n`,
  );
  for (const name of failed) process.stdout.write(`    ${name}\n`);
  return { passed, failed };
}

type Classes = readonly AttackClass[];

async function runAll(classes: Classes): Promise<ReadonlyMap<string, FileResult>> {
  const results = new Map<string, FileResult>();
  const files = [...new Set(classes.flatMap((each) => proofsOf(each).map(({ file }) => file)))].sort();
  const cluster = files.some(needsCluster) ? await serveCluster() : undefined;
  if (cluster !== undefined) process.env['METAVEIL_TEST_CLUSTER'] = cluster.descriptionPath;
  try {
    for (const file of files) results.set(file, await runFile(file));
  } finally {
    await cluster?.stop();
  }
  return results;
}

function needsCluster(file: string): boolean {
  return /^test\/(integration|e2e)\//u.test(file);
}

/** The figures of the classes, and what is wrong. */
function judge(
  results: ReadonlyMap<string, FileResult>,
  classes: Classes,
): { figures: Figures; problems: readonly string[] } {
  const problems = [...results].flatMap(([file, { failed }]) => failed.map((name) => `${file}: ${name}`));
  const figures = classes.map((each) => {
    let sum = 0;
    for (const proof of proofsOf(each)) {
      const declared = declaredTests(proof.file) ?? [];
      const passed = results.get(proof.file)?.passed.filter((path) => isPartOf(path, proof, declared)) ?? [];
      if (passed.length === 0) problems.push(`${each.id}: nothing passed of ${proof.file}`);
      sum += passed.length;
    }
    return [each.id, sum] as const;
  });
  return { figures: Object.fromEntries(figures), problems };
}

async function main(): Promise<void> {
  const unsound = attackClasses.flatMap((each) => problemsOf(each, declaredTests));
  if (unsound.length > 0) throw new Error(unsound.join('\n'));
  const named = process.argv.slice(2);
  const classes = named.length === 0 ? attackClasses : attackClasses.filter(({ id }) => named.includes(id));
  if (classes.length === 0) throw new Error(`no such class: ${named.join(' ')}`);
  installTools();
  const results = await runAll(classes);
  const { figures, problems } = judge(results, classes);
  for (const [id, passed] of Object.entries(figures)) process.stdout.write(`${id}: ${passed} passed\n`);
  if (problems.length > 0) {
    process.stdout.write(`${problems.join('\n')}\n`);
    process.exitCode = 1;
    return;
  }
  mkdirSync(dirname(documentFile), { recursive: true });
  const before = existsSync(documentFile) ? figuresOf(readFileSync(documentFile, 'utf8')) : {};
  writeFileSync(documentFile, await documentText({ ...before, ...figures }));
}

await main();
