/** docs/security/attack-classes.md. */
import { format, resolveConfig } from 'prettier';
import { attackClasses, type AttackClass, type Proof } from './classes.ts';
import { proofsOf } from './proofs.ts';

export const documentFile = 'docs/security/attack-classes.md';

/** Passed tests of each class, by its id. */
export type Figures = Readonly<Record<string, number>>;

const introduction = `<!-- Written by \`npm run attacks\`; the text is in test/security/attacks. -->

# Attack classes

Each class is attacked over raw sockets, or where the attack comes from elsewhere at that place: in the kernel, at the
node API, at a real API server. A test of the wire asserts the denial, its code, its one log line, and that the upstream
server was asked nothing.

\`npm run attacks\` runs every test below and writes this page; a failed, skipped or missing test makes it fail, and the
page is not written then. The last column is how many tests of the class passed in that run. \`npm test\` runs the same
tests, and fails where this page names a test that does not exist or is out of date with the list of classes.
`;

export async function documentText(figures: Figures): Promise<string> {
  const rows = attackClasses.map((each) => row(each, figures[each.id]));
  const table = ['| class | attack | tests | passed |', '| --- | --- | --- | --- |', ...rows].join('\n');
  const notes = attackClasses.flatMap(({ id, note }) => (note === undefined ? [] : [`- **${id}**: ${note}`]));
  const text = `${introduction}\n${table}\n\n## Not covered\n\n${notes.join('\n')}\n\n${canaries}`;
  return format(text, { ...(await resolveConfig(documentFile)), parser: 'markdown' });
}

/** The figures that a page shows. */
export function figuresOf(page: string): Figures {
  const rows = [...page.matchAll(/^\| (T\d\d) .*\| (\d+) +\|$/gmu)];
  return Object.fromEntries(rows.map(([, id = '', passed]) => [id, Number(passed)]));
}

function row(attackClass: AttackClass, passed = 0): string {
  const tests = proofsOf(attackClass).map(cell).join('<br>');
  return `| ${attackClass.id} | ${attackClass.attack} | ${tests} | ${passed} |`;
}

function cell({ file, names = [] }: Proof): string {
  const suites = names.map((name) => `“${name.replaceAll('|', '\\|')}”`).join(', ');
  return `\`${file.replace(/^test\//u, '')}\`${suites === '' ? '' : `: ${suites}`}`;
}

const canaries = `## Canary tokens

Marked secrets are planted in what upstream servers and Google answer, in success and in error, and looked for in all
that comes out.

| planted in | looked for in | test |
| --- | --- | --- |
`;
