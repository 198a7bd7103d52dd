/** docs/security/attack-classes.md says what there is: it is compared with the files, nothing is run again. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { canaryRows } from './attacks/canaries.ts';
import { attackClasses, type AttackClass } from './attacks/classes.ts';
import { declaredTests } from './attacks/declared-tests.ts';
import { documentFile, documentText, figuresOf } from './attacks/document.ts';
import { declaredCount, problemsOf, proofsOf } from './attacks/proofs.ts';

const ids = Array.from({ length: 20 }, (_, index) => `T${String(index + 1).padStart(2, '0')}`);
const page = readFileSync(documentFile, 'utf8');

describe('the classes of attacks', () => {
  it('are T01 to T20', () => {
    assert.deepEqual(
      attackClasses.map(({ id }) => id),
      ids,
    );
  });

  for (const attackClass of attackClasses) {
    it(`${attackClass.id} has tests, and every name is that of a test or a suite`, () => {
      assert.deepEqual(problemsOf(attackClass, declaredTests), []);
      assert.ok(declaredCount(attackClass, declaredTests) > 0);
    });
  }

  it('that have no test, or name one that does not exist, are found', () => {
    const none = { id: 'T99', attack: 'None', elsewhere: [] } as const;
    const named = (file: string, name: string): AttackClass => ({ ...none, elsewhere: [{ file, names: [name] }] });
    const [own = ''] = proofsOf({ ...none, id: 'T01' }).map(({ file }) => file);
    assert.deepEqual(problemsOf(none, declaredTests), ['T99 has no test']);
    assert.equal(problemsOf(named('test/none.test.ts', 'x'), declaredTests).length, 1);
    assert.equal(problemsOf(named(own, 'no such suite'), declaredTests).length, 1);
  });
});

describe('the page', () => {
  it('shows a run in which every declared test of every class passed', () => {
    const figures = figuresOf(page);
    assert.deepEqual(Object.keys(figures), ids);
    for (const each of attackClasses) {
      const declared = declaredCount(each, declaredTests);
      assert.ok((figures[each.id] ?? 0) >= declared, `${each.id}: ${declared} tests, ${figures[each.id] ?? 0} passed`);
    }
  });

  it('is what `npm run attacks` writes for the tests that the files declare now', async () => {
    assert.equal(page, await documentText(figuresOf(page)), 'run `npm run attacks` and commit the page');
  });

  it('names tests of canaries that exist', () => {
    for (const { proof } of canaryRows) assert.ok((declaredTests(proof.file)?.length ?? 0) > 0, proof.file);
  });
});
