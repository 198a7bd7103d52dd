/** `npm run conformance`: runs the matrix and writes docs/conformance.md, unless something in it failed. */
import { writeFile } from 'node:fs/promises';
import { clients } from './clients/index.ts';
import { conformanceDocument } from './document.ts';
import { ClientRun, problemsOf } from './matrix.ts';
import { documentPath, ConformanceStage } from './stage.ts';

async function main(): Promise<number> {
  const prepared = [];
  for (const client of clients) prepared.push({ client, how: await client.prepare() });
  await using stage = await ConformanceStage.start();
  const runs = prepared.map(({ client, how }) => new ClientRun(stage, client, how));
  for (const run of runs) {
    process.stdout.write(`${run.row.client.name}\n`);
    await run.runStates();
    await run.runAddressings();
  }
  await stage.stopRedirecting();
  for (const run of runs) await run.runVariables();
  const rows = runs.map(({ row }) => row);
  const problems = rows.flatMap(problemsOf);
  if (problems.length > 0) {
    process.stderr.write(`${problems.join('\n')}\n${documentPath} was not written\n`);
    return 1;
  }
  await writeFile(documentPath, await conformanceDocument(rows, documentPath));
  return 0;
}

process.exitCode = await main();
