/** docs/security/attack-classes.md. */
import { format, resolveConfig } from 'prettier';
import { canaryRows } from './canaries.ts';
import { attackClasses, type AttackClass, type Proof } from './classes.ts';
import { declaredTests } from './declared-tests.ts';
import { declaredCount, proofsOf } from './proofs.ts';

export const documentFile = 'docs/security/attack-classes.md';

/** Passed tests of each class, by its id. */
export type Figures = Readonly<Record<string, number>>;

const introduction = `<!-- Written by \`npm run attacks\`; the text is in test/security/attacks. -->

# Attack classes

Each class is attacked over raw sockets, or where the attack comes from elsewhere at that place: in the kernel, at the
node API, at a real API server. A test of the wire asserts the denial, its code, its one log line, and that the upstream
server was asked nothing.

\`npm run attacks\` runs every test below and writes this page; a failed, skipped or missing test makes it fail, and the
page is not written then. Named classes (\`npm run attacks -- T14 T20\`) are run alone, and the others keep their figures.
The last columns are how many tests the files declare for the class, and how many passed in that run: a test in a loop
is declared once and runs for each row of its table. \`npm test\` runs the same tests, and fails where this page and the
files differ: a class without a test, a name that no file has, a test that came or went since the page was written.
`;

/** The page for these figures and for the tests that the files declare now. */
export async function documentText(figures: Figures): Promise<string> {
  const rows = attackClasses.map((each) => row(each, figures[each.id]));
  const table = ['| class | attack | tests | declared | passed |', '| --- | --- | --- | --- | --- |', ...rows];
  const notes = attackClasses.flatMap(({ id, note }) => (note === undefined ? [] : [`- **${id}**: ${note}`]));
  const text = `${introduction}\n${table.join('\n')}\n\n## Not covered\n\n${notes.join('\n')}\n\n${canaries()}`;
  return format(text, { ...(await resolveConfig(documentFile)), parser: 'markdown' });
}

/** The figures that a page shows. */
export function figuresOf(page: string): Figures {
  const rows = [...page.matchAll(/^\| (T\d\d) .*\| (\d+) +\|$/gmu)];
  return Object.fromEntries(rows.map(([, id = '', passed]) => [id, Number(passed)]));
}

function row(attackClass: AttackClass, passed = 0): string {
  const tests = proofsOf(attackClass).map(cell).join('<br>');
  const declared = declaredCount(attackClass, declaredTests);
  return `| ${attackClass.id} | ${attackClass.attack} | ${tests} | ${declared} | ${passed} |`;
}

function cell({ file, names = [] }: Proof): string {
  const suites = names.map((name) => `“${name.replaceAll('|', '\\|')}”`).join(', ');
  return `\`${file.replace(/^test\//u, '')}\`${suites === '' ? '' : `: ${suites}`}`;
}

function canaries(): string {
  const rows = canaryRows.map(({ planted, sinks, proof }) => `| ${planted} | ${sinks} | ${cell(proof)} |`);
  return `## Canary tokens

Marked secrets are planted in what upstream servers, Google and the API server answer, in success and in error, and
looked for in all that comes out. Each sink has a test of its own, which first finds a secret that is put there on
purpose.

| planted in | looked for in | test |
| --- | --- | --- |
${rows.join('\n')}
`;
}
