/** Which files and tests show a class, and whether the files have them. */
import { globSync } from 'node:fs';
import type { DeclaredTest } from './declared-tests.ts';
import type { AttackClass, Proof } from './classes.ts';

/** All proofs of a class: its own files and what it names elsewhere. */
export function proofsOf({ id, elsewhere }: AttackClass): readonly Proof[] {
  const own = globSync(`test/security/${id.toLowerCase()}-*.test.ts`).sort();
  return [...own.map((file) => ({ file })), ...elsewhere];
}

/** What is wrong with a class, in sentences; empty for a good one. */
export function problemsOf(
  attackClass: AttackClass,
  declared: (file: string) => readonly DeclaredTest[] | undefined,
): readonly string[] {
  const { id } = attackClass;
  const proofs = proofsOf(attackClass);
  if (proofs.length === 0) return [`${id} has no test`];
  return proofs.flatMap(({ file, names = [] }) => {
    const tests = declared(file);
    if (tests === undefined) return [`${id} names ${file}, which does not exist`];
    if (tests.length === 0) return [`${id} names ${file}, which has no test`];
    return names
      .filter((name) => !tests.some(({ path }) => path === name))
      .map((name) => `${id} names “${name}”, which is not in ${file}`);
  });
}

/** How many tests the files declare for a class; each counts once, however often a loop runs it. */
export function declaredCount(
  attackClass: AttackClass,
  declared: (file: string) => readonly DeclaredTest[] | undefined,
): number {
  const tests = proofsOf(attackClass).flatMap(({ file, names }) =>
    (declared(file) ?? [])
      .filter(({ isTest, path }) => isTest && (names?.some((name) => isWithin(path, name)) ?? true))
      .map(({ path }) => `${file} ${path}`),
  );
  return new Set(tests).size;
}

function isWithin(path: string, name: string): boolean {
  return path === name || path.startsWith(`${name} > `);
}

/** Whether a test that ran belongs to a proof. `declared` tells which names are templates. */
export function isPartOf(path: string, { names }: Proof, declared: readonly DeclaredTest[]): boolean {
  if (names === undefined) return true;
  return names.some((name) => declared.some((test) => test.path === name && test.matches(path)));
}
