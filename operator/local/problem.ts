import type { Problem } from './ports.ts';

const quotedLength = 80;

/** `file:line:column: what; fix`, one line that is safe to print on a terminal. */
export function formatProblem({ at, what, fix }: Problem): string {
  return `${printable(at.file)}:${String(at.line)}:${String(at.column)}: ${what}; ${fix}`;
}

/** Text of unknown origin in double quotes, shortened. */
export function quote(text: string): string {
  const shortened = text.length > quotedLength ? `${text.slice(0, quotedLength)}…` : text;
  return `"${printable(shortened.replaceAll('\\', '\\\\').replaceAll('"', '\\"'))}"`;
}

/** Escapes what could move a terminal's cursor, hide text or reverse its direction. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u{${code.toString(16)}}`;
  });
}
