/**
 * `npm run fuzz -- --cases 10000000`: the differential fuzz. `--seed` repeats a run, `--threads` sets how many at a
 * time, `--replay` runs one case that a run has printed. Exit code 1: something was let through, or held back.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { replay, type Case } from './blocks.ts';
import { findingText, runCampaign, summaryOf } from './campaign.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    threads: { type: 'string', default: String(availableParallelism()) },
    replay: { type: 'string' },
  },
});

const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** A whole number from the command line. */
function wholeNumber(name: 'cases' | 'seed' | 'threads', least: number): number {
  const number = Number(values[name]);
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new RangeError(`--${name} is a whole number of at least ${least}`);
}

async function run(): Promise<boolean> {
  const [cases, seed, threads] = [wholeNumber('cases', 1), wholeNumber('seed', 0), wholeNumber('threads', 1)];
  print(`seed ${seed}, ${cases} cases, ${threads} threads`);
  const start = performance.now();
  let last = start;
  const result = await runCampaign({
    cases,
    seed,
    threads,
    onBlock: (done, all) => {
      if (performance.now() - last < 10_000) return;
      last = performance.now();
      print(`${done} of ${all} blocks`);
    },
  });
  for (const line of summaryOf(result)) print(line);
  print(`${((performance.now() - start) / 1000).toFixed(0)} s, seed ${seed}`);
  for (const finding of result.findings) print(findingText(finding));
  return result.findings.length === 0;
}

async function again(text: string): Promise<boolean> {
  try {
    await replay(JSON.parse(text) as Case);
    print('nothing found');
    return true;
  } catch (error) {
    print(error instanceof Error ? error.message : String(error));
    return false;
  }
}

process.exitCode = (await (values.replay === undefined ? run() : again(values.replay))) ? 0 : 1;
