/** Unmodified clients × {bound, federated only, unbound} × states, and × the ways to address the metadata server. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { clients } from './clients/index.ts';
import type { PreparedClient } from './clients/contract.ts';
import { conformanceDocument } from './document.ts';
import { assertFederatedByDefault, ClientRun, problemsOf } from './matrix.ts';
import { ConformanceStage, documentPath } from './stage.ts';

describe('unmodified clients', () => {
  let stage: ConformanceStage;
  const prepared = new Map<string, PreparedClient>();
  const runs = new Map<string, ClientRun>();

  before(async () => {
    stage = await ConformanceStage.start();
  });

  after(async () => {
    await stage[Symbol.asyncDispose]();
  });

  function runOf(name: string): ClientRun {
    const run = runs.get(name);
    assert.ok(run, `${name} is missing`);
    return run;
  }

  function assertNoProblems(run: ClientRun): void {
    assert.deepEqual(problemsOf(run.row), []);
  }

  it('are all those that are promised', () => {
    const promised = ['curl', 'Node', 'Python', 'Go', 'Java', 'gcloud'];
    assert.deepEqual(
      clients.map(({ name }) => name),
      promised,
    );
  });

  for (const client of clients)
    describe(client.name, () => {
      it('is there', async () => {
        const how = await client.prepare();
        prepared.set(client.name, how);
        runs.set(client.name, new ClientRun(stage, client, how));
      });

      it('gets what its pod may have, and nothing else: cold, warm, after a restart, after a 503', async () => {
        const run = runOf(client.name);
        await run.runStates();
        assertNoProblems(run);
      });

      it('finds the server by address and by name, dot or no dot', async () => {
        const run = runOf(client.name);
        await run.runAddressings();
        assertNoProblems(run);
      });
    });

  it('get the federated identity without a binding where unboundWorkloads says so', async () => {
    await stage.federateUnbound();
    for (const how of prepared.values()) await assertFederatedByDefault(stage, how);
  });

  it('need nothing but the three variables where nothing is redirected', async () => {
    await stage.stopRedirecting();
    for (const run of runs.values()) {
      await run.runVariables();
      assertNoProblems(run);
    }
  });

  it('and no token or subject token is in the log of proxy or intercept', () => {
    const { proxy, intercept } = stage.node.logs;
    assert.match(proxy, /"event":"token-issued"/);
    assert.doesNotMatch(proxy + intercept, /ya29\.|eyJ[A-Za-z0-9_-]{10}/);
  });

  it('and docs/conformance.md says the same; if not: npm run conformance', async () => {
    const rows = clients.map(({ name }) => runOf(name).row);
    assert.equal(await readFile(documentPath, 'utf8'), await conformanceDocument(rows, documentPath));
  });
});
