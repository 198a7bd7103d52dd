/** docs/security/attack-classes.md says what the tests are. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { attackClasses } from './attacks/classes.ts';
import { declaredTests } from './attacks/declared-tests.ts';
import { documentFile, documentText, figuresOf } from './attacks/document.ts';
import { isPartOf, problemsOf } from './attacks/proofs.ts';

const file = 'test/unit/core/token/key.test.ts';

describe('the classes of attack', () => {
  it('are T01 to T20, each once', () => {
    const expected = Array.from({ length: 20 }, (_, index) => `T${String(index + 1).padStart(2, '0')}`);
    assert.deepEqual(
      attackClasses.map(({ id }) => id),
      expected,
    );
  });

  for (const attackClass of attackClasses) {
    it(`${attackClass.id} names tests that exist`, () => {
      assert.deepEqual(problemsOf(attackClass, declaredTests), []);
    });
  }

  it('are found out when they name what is not there, or nothing', () => {
    const named = (elsewhere: (typeof attackClasses)[number]['elsewhere']): readonly string[] =>
      problemsOf({ id: 'T99', attack: '', elsewhere }, declaredTests);
    assert.deepEqual(named([]), ['T99 has no test']);
    assert.deepEqual(named([{ file: 'test/none.test.ts' }]), ['T99 names test/none.test.ts, which does not exist']);
    assert.deepEqual(named([{ file, names: ['two wishes', 'three'] }]), [`T99 names “three”, which is not in ${file}`]);
  });
});

describe('a proof', () => {
  const declared = declaredTests('test/netns/redirect.test.ts') ?? [];
  const of = (...names: readonly string[]) => ({ file: 'test/netns/redirect.test.ts', names });

  it('takes the tests of a suite, and a test whose name has parts to be filled in', () => {
    const template = "redirect > lets only the redirect and the host enter the proxy's port over ${family}";
    const ran = "redirect > lets only the redirect and the host enter the proxy's port over ipv6";
    assert.ok(isPartOf(ran, of(template), declared));
    assert.ok(isPartOf(ran, of('redirect'), declared));
    assert.ok(!isPartOf('redirect > sends nothing of a pod to the cloud', of(template), declared));
    assert.ok(!isPartOf(ran, of('redirect > sends nothing of a pod to the cloud'), declared));
  });
});

describe(documentFile, () => {
  it('is what npm run attacks writes for these classes, with the figures of its run', async () => {
    const page = readFileSync(documentFile, 'utf8');
    const figures = figuresOf(page);
    for (const { id } of attackClasses) assert.ok((figures[id] ?? 0) > 0, `${id} has passed tests`);
    assert.equal(page, await documentText(figures));
  });
});
