/**
 * `npm test`: the project's checks, then every test file, against one control plane that all files share.
 * The last line is `N passed, N failed`. A skipped or todo test counts as failed: what was not run did not pass.
 *
 * Arguments name folders or files below test/ to run instead of everything, for example `npm test -- unit`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { serveCluster } from './cluster/serve.ts';
import { installTools } from './tools.ts';

interface Tally {
  passed: number;
  failed: number;
}

const checks = ['format', 'lint', 'folders', 'types', 'generated'] as const;

function filesOf(arguments_: readonly string[]): string[] {
  const patterns = arguments_.length === 0 ? ['test/**/*.test.ts'] : arguments_.map(patternOf);
  return globSync(patterns).sort();
}

function patternOf(argument: string): string {
  return argument.endsWith('.test.ts') ? argument : `test/${argument.replace(/^test\//, '')}/**/*.test.ts`;
}

async function runCheck(name: string): Promise<boolean> {
  const script = name === 'generated' ? ['run', 'generate', '--', '--check'] : ['run', name];
  const child = spawn('npm', ['--silent', ...script], { stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  process.stdout.write(`${code === 0 ? '✔' : '✖'} check: ${name}\n`);
  return code === 0;
}

async function runChecks(tally: Tally): Promise<void> {
  for (const name of checks) {
    if (await runCheck(name)) tally.passed += 1;
    else tally.failed += 1;
  }
}

interface TestEvent {
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly details: { readonly type?: string | undefined };
}

/** A suite or a file is a frame around tests and is not counted when it passes. */
function isFrame(event: TestEvent): boolean {
  return event.details.type === 'suite';
}

function wasNotRun(event: TestEvent): boolean {
  return Boolean(event.skip) || Boolean(event.todo);
}

async function runTests(files: readonly string[], tally: Tally): Promise<void> {
  const stream = run({ files: [...files], concurrency: availableParallelism(), timeout: 900_000 });
  stream.on('test:pass', (event) => {
    if (isFrame(event)) return;
    if (wasNotRun(event)) tally.failed += 1;
    else tally.passed += 1;
  });
  stream.on('test:fail', (event) => {
    if (!isFrame(event)) tally.failed += 1;
  });
  stream.compose(spec).pipe(process.stdout, { end: false });
  await once(stream, 'close');
}

function needsCluster(files: readonly string[]): boolean {
  return files.some((file) => /^test\/(integration|e2e)\//.test(file));
}

async function main(): Promise<void> {
  const tally: Tally = { passed: 0, failed: 0 };
  const selected = process.argv.slice(2);
  const files = filesOf(selected);
  if (files.length === 0) throw new Error(`no test file matches: ${selected.join(' ')}`);
  if (selected.length === 0) await runChecks(tally);
  installTools();
  const cluster = needsCluster(files) ? await serveCluster() : undefined;
  try {
    if (cluster) process.env['METAVEIL_TEST_CLUSTER'] = cluster.descriptionPath;
    await runTests(files, tally);
  } finally {
    await cluster?.stop();
  }
  process.stdout.write(`\n${tally.passed} passed, ${tally.failed} failed\n`);
  process.exitCode = tally.failed === 0 ? 0 : 1;
}

await main();
