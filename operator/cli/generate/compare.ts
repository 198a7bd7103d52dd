import type { GeneratedFile } from './file.ts';

/** How a file on disk differs from what the generators write. */
export type Staleness =
  | { readonly kind: 'missing'; readonly path: string }
  | { readonly kind: 'left-over'; readonly path: string }
  | {
      readonly kind: 'changed';
      readonly path: string;
      /** Line number (from 1) of the first difference, and both lines there ('' past the end). */
      readonly line: number;
      readonly found: string;
      readonly expected: string;
    };

/**
 * Compares the files on disk with the generated ones.
 *
 * @param onDisk text by path, of every file in the folders that hold nothing but generated files, and of the others
 *   that are generated
 */
export function compareFiles(
  generated: readonly GeneratedFile[],
  onDisk: ReadonlyMap<string, string>,
): readonly Staleness[] {
  const paths = new Set(generated.map(({ path }) => path));
  const leftOver = [...onDisk.keys()].filter((path) => !paths.has(path)).sort();
  return [
    ...generated.flatMap((file) => compareFile(file, onDisk.get(file.path))),
    ...leftOver.map((path) => ({ kind: 'left-over' as const, path })),
  ];
}

function compareFile({ path, text }: GeneratedFile, found: string | undefined): readonly Staleness[] {
  if (found === undefined) return [{ kind: 'missing', path }];
  if (found === text) return [];
  const foundLines = found.split('\n');
  const expectedLines = text.split('\n');
  const length = Math.max(foundLines.length, expectedLines.length);
  const first = Array.from({ length }, (_, index) => index).find((index) => foundLines[index] !== expectedLines[index]);
  const index = first ?? 0;
  return [
    { kind: 'changed', path, line: index + 1, found: foundLines[index] ?? '', expected: expectedLines[index] ?? '' },
  ];
}

/** One line for people, two more where a line changed. */
export function describeStaleness(stale: Staleness): string {
  switch (stale.kind) {
    case 'missing':
      return `${stale.path}: missing`;
    case 'left-over':
      return `${stale.path}: no longer generated`;
    case 'changed':
      return `${stale.path}:${String(stale.line)}: differs\n  - ${stale.found.trim()}\n  + ${stale.expected.trim()}`;
  }
}
