/**
 * A slice of the differential fuzz: FUZZ_CASES sets how many cases (120,000), FUZZ_SEED the seed (the clock's). The
 * whole: `npm run fuzz -- --cases 10000000`.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { describe, it } from 'node:test';
import { blocksOf, layers, replay, runBlock, type Finding } from './blocks.ts';
import { findingText, runCampaign, summaryOf } from './campaign.ts';
import { mutants, type Mutant } from './mutants.ts';
import { readBy, servers } from './servers.ts';

const cases = Number(process.env['FUZZ_CASES'] ?? 120_000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 32);

it(`${cases} cases without a bypass, and without a held-back value (seed ${seed})`, async (t) => {
  const result = await runCampaign({ cases, seed, threads: availableParallelism() });
  for (const line of summaryOf(result)) t.diagnostic(line);
  assert.deepEqual(result.findings.map(findingText), []);
  for (const layer of layers) {
    const tally = result.tallies[layer];
    // A fuzz that only ever met refusals would prove nothing, and neither would one that met none.
    assert.ok(tally.served > tally.cases / 50, `${layer}: too few were served`);
    assert.ok(tally.honestServed > tally.honest / 10, `${layer}: too few honest requests were served`);
    const denied = Object.values(tally.denied).reduce((sum, count) => sum + count, 0);
    assert.ok(denied > tally.cases / 20, `${layer}: too few were denied`);
    for (const code of ['concealed', 'legacy', 'malformed-path'])
      assert.ok((tally.denied[code] ?? 0) > 0, `${layer}: ${code}`);
  }
});

/** How many cases a planted bug may take to be found. */
const mostCases = 50_000;

async function find({
  layer,
  trial,
}: Mutant): Promise<{ readonly finding: Finding; readonly cases: number } | undefined> {
  let tried = 0;
  for (const block of blocksOf(mostCases * 20, 1).filter((each) => each.layer === layer)) {
    const { tally, finding } = await runBlock(block, trial);
    tried += tally.cases;
    if (finding !== undefined) return { finding, cases: tried };
    if (tried >= mostCases) return undefined;
  }
  return undefined;
}

describe('a planted bug is found', () => {
  for (const mutant of mutants) {
    it(mutant.bug, async (t) => {
      const found = await find(mutant);
      assert.ok(found !== undefined, `not found in ${mostCases} cases`);
      t.diagnostic(`after at most ${found.cases} cases: ${found.finding.message.slice(0, 200)}`);
      const repeated = JSON.parse(JSON.stringify(found.finding.case)) as Finding['case'];
      await assert.rejects(replay(repeated, mutant.trial), 'the printed case repeats it');
      await replay(repeated);
    });
  }
});

describe('the judges', () => {
  it('import nothing of what they judge', () => {
    for (const file of ['servers.ts', 'reference.ts']) {
      const source = readFileSync(new URL(file, import.meta.url), 'utf8');
      assert.doesNotMatch(source, /^import /m, file);
    }
  });

  const line = (target: string) => `GET ${target} HTTP/1.1\r\nHost: metadata\r\nMetadata-Flavor: Google\r\n\r\n`;
  const [strictest, sloppiest] = [servers[0], servers.at(-1)];
  const kubeEnv = 'instance/attributes/kube-env';
  const odd = [
    '/computeMetadata/v1/project/../instance//attributes/./KUBE-ENV;x?y',
    '/computeMetadata/v1/instance%252fattributes\\kube-env/',
    '/computeMetadata/v1/project/%c0%ae%c0%ae/instance/attributes/%u006bube-env',
    'http://a@b/COMPUTEMETADATA/v1/instance/attributes/kube-env%00.txt#x',
  ];
  it('have a sloppiest server that finds a secret in every spelling', () => {
    for (const target of odd) {
      const reading = sloppiest === undefined ? 'nowhere' : readBy(sloppiest, line(target));
      assert.ok(typeof reading === 'object', target);
      assert.equal(reading.path.join('/'), kubeEnv, target);
    }
  });

  it('have a strictest server that finds it in its own spelling only', () => {
    const read = (target: string) => (strictest === undefined ? 'nowhere' : readBy(strictest, line(target)));
    for (const target of odd) {
      const reading = read(target);
      assert.ok(typeof reading !== 'object' || reading.path.join('/') !== kubeEnv, target);
    }
    const reading = read(`/computeMetadata/v1/${kubeEnv}`);
    assert.ok(typeof reading === 'object' && reading.path.join('/') === kubeEnv);
  });
});
