import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../../operator/adapters/files/limits.ts';
import { parseDocuments } from '../../../operator/adapters/files/parse.ts';
import { formatProblem, printable } from '../../../operator/local/problem.ts';

function valuesOf(text: string): readonly unknown[] {
  const { documents, problems } = parseDocuments('f.yaml', text);
  assert.deepEqual(problems.map(formatProblem), []);
  return documents.map(({ value }) => value);
}

function problemsOf(text: string): readonly string[] {
  return parseDocuments('f.yaml', text).problems.map(formatProblem);
}

describe('documents of a file', () => {
  it('are read in order, empty ones left out, with the place where each starts', () => {
    const { documents } = parseDocuments('f.yaml', '# nothing\n---\n---\na: 1\n---\n\n  b: 2\n');
    assert.deepEqual(
      documents.map(({ value, at }) => [value, at.line, at.column]),
      [
        [{ a: 1 }, 4, 1],
        [{ b: 2 }, 7, 3],
      ],
    );
  });

  it('may be none', () => {
    assert.deepEqual(valuesOf(''), []);
    assert.deepEqual(valuesOf('# only a comment\n'), []);
  });

  it('may start with a byte order mark and end lines as Windows does', () => {
    assert.deepEqual(valuesOf('\ufeffa: 1\r\nb: 2\r\n'), [{ a: 1, b: 2 }]);
  });
});

describe('scalars are read as Kubernetes reads them', () => {
  const rows: readonly (readonly [string, unknown])[] = [
    ['yes', true],
    ['off', false],
    ['y', true],
    ['"yes"', 'yes'],
    ['0755', 493],
    ['0o74', 60],
    ['0x1f', 31],
    ['1_000', 1000],
    ['12:30', '12:30'],
    ['2026-11-21', '2026-11-21'],
    ['1e3', 1000],
    ['~', null],
    ['!!str 12', '12'],
  ];
  for (const [text, value] of rows) {
    it(`${text} is ${JSON.stringify(value)}`, () => {
      assert.deepEqual(valuesOf(`a: ${text}\n`), [{ a: value }]);
    });
  }
});

describe('anchors', () => {
  it('give their value to every alias', () => {
    assert.deepEqual(valuesOf('a: &x {b: 1}\nc: *x\n'), [{ a: { b: 1 }, c: { b: 1 } }]);
  });

  it('may be merged; what is written out wins, then what is merged first', () => {
    const text = 'base: &b {k: 1, l: 1}\nmore: &c {l: 2, m: 2}\nresult:\n  m: 3\n  <<: [*b, *c]\n';
    const [document] = valuesOf(text) as [{ result: unknown }];
    assert.deepEqual(document.result, { k: 1, l: 1, m: 3 });
  });
});

describe('what cannot be read is named with its place', () => {
  const rows: readonly (readonly [string, string, readonly string[]])[] = [
    ['a key twice', 'a: 1\nb: 2\na: 3\n', ['f.yaml:3:1: "a" is there twice; remove one of the two']],
    [
      'a tab for indentation',
      'a:\n\tb: 1\n',
      ['f.yaml:2:1: not valid YAML: Tabs are not allowed as indentation; indent with spaces'],
    ],
    ['an open quote', 'a: "b\n', ['f.yaml:2:1: not valid YAML: Missing closing "quote; add the missing character']],
    ['a tag of its own', 'a: !secret b\n', ['f.yaml:1:4: not valid YAML: Unresolved tag: !secret; remove the tag']],
    [
      'a number for a key',
      'a: {1: b}\n',
      ['f.yaml:1:5: "1" is used as a key, but is no string; put the key in double quotes'],
    ],
    [
      'a boolean for a key',
      'on: b\n',
      ['f.yaml:1:1: "on" is used as a key, but is no string; put the key in double quotes'],
    ],
    [
      'a list for a key',
      '? [a]\n: b\n',
      ['f.yaml:1:3: a list or mapping is used as a key, but is no string; put the key in double quotes'],
    ],
    [
      'a key that reaches prototypes',
      'a:\n  __proto__: {b: 1}\n',
      ['f.yaml:2:3: the key __proto__ is not allowed; remove it'],
    ],
    [
      'an alias without anchor',
      'a: *b\n',
      ['f.yaml:1:4: the alias "b" names no anchor before it; define the anchor first, or write the value out'],
    ],
    ['an anchor that contains itself', 'a: &a [*a]\n', ['f.yaml:1:8: an anchor contains itself; write the value out']],
    ['a merged list', 'a:\n  <<: [1]\n', ['f.yaml:2:3: << merges something that is no mapping; write the fields out']],
    ['infinity', 'a: .inf\n', ['f.yaml:1:4: a number is not finite; write a number that JSON can express']],
    ['a directive', '%YAML 1.2\n---\na: 1\n', ['f.yaml:1:1: the file has a % directive; remove the directive']],
    [
      'an escape sequence of terminals',
      'a: \u001b[31m\n',
      ['f.yaml:1:4: a control character; remove it, or write it escaped'],
    ],
  ];
  for (const [what, text, expected] of rows) {
    it(what, () => assert.deepEqual(problemsOf(text), expected));
  }

  it('a mistake in an anchored value is named once', () => {
    assert.deepEqual(problemsOf('a: &a {1: b}\nc: [*a, *a]\n'), [
      'f.yaml:1:8: "1" is used as a key, but is no string; put the key in double quotes',
    ]);
  });

  it('several mistakes are all named', () => {
    assert.equal(problemsOf('1: a\n2: b\n---\n3: c\n').length, 3);
  });
});

describe('hostile files are refused in bounded time', () => {
  const size = limits.fileBytes;
  const nested = `f.yaml:1:${String(limits.depth + 1)}: values are nested deeper than 64 levels; flatten the document`;

  it('a file of opening brackets', () => {
    assert.deepEqual(problemsOf('['.repeat(size / 4)), [nested]);
  });

  for (const opening of ['{a: ', '- ', '? ', '[{a: ']) {
    it(`a file of ${JSON.stringify(opening)}`, () => {
      const [first = ''] = problemsOf(opening.repeat(size / 16));
      assert.match(first, /values are nested deeper than 64 levels/);
    });
  }

  it('an alias bomb', () => {
    const levels = Array.from({ length: 9 }, (_, level) => {
      const items = Array.from({ length: 10 }, () => (level === 0 ? 'x' : `*l${String(level - 1)}`));
      return `l${String(level)}: &l${String(level)} [${items.join(', ')}]`;
    });
    const [first = '', ...others] = problemsOf(levels.join('\n'));
    assert.match(first, /^f\.yaml:\d+:\d+: the document has more than 50000 values or 64 levels once its aliases are/);
    assert.deepEqual(others, []);
  });

  it('a merge bomb', () => {
    const levels = Array.from({ length: 20 }, (_, level) => {
      const base = `*l${String(level - 1)}`;
      const fields = level === 0 ? 'a: 1' : `<<: [${Array.from({ length: 10 }, () => base).join(', ')}]`;
      return `l${String(level)}: &l${String(level)} {${fields}}`;
    });
    assert.match(problemsOf(levels.join('\n'))[0] ?? '', /more than 50000 values or 64 levels/);
  });

  it('a hundred thousand keys', () => {
    const keys = Array.from({ length: 100_000 }, (_, index) => `k${String(index)}: 1`).join('\n');
    assert.match(problemsOf(keys)[0] ?? '', /more than 50000 values/);
  });

  it('thousands of documents', () => {
    const { documents, problems } = parseDocuments('f.yaml', '---\na: 1\n'.repeat(2000));
    assert.equal(documents.length, limits.documentsPerFile);
    assert.deepEqual(problems.map(formatProblem), [
      'f.yaml:2001:1: the file has more than 1000 documents; split the file',
    ]);
  });
});

describe('properties', () => {
  const noise = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc
      .array(
        fc.constantFrom(
          'a',
          ':',
          ' ',
          '\n',
          '- ',
          '&x ',
          '*x',
          '[',
          ']',
          '{',
          '}',
          '"',
          "'",
          '|',
          '>',
          '? ',
          '!',
          '%',
          '<<',
          '---\n',
          '#',
          '\t',
        ),
        { maxLength: 60 },
      )
      .map((parts) => parts.join('')),
  );

  it('no text makes the reader throw, and no message carries a control character', () => {
    fc.assert(
      fc.property(noise, (text) => {
        for (const problem of parseDocuments('f.yaml', text).problems) {
          const line = formatProblem(problem);
          assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\u2028\u2029]/u);
          assert.ok(problem.at.line >= 1 && problem.at.column >= 1);
          assert.ok(problem.fix.length > 0);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('what JSON can say is read back unchanged', () => {
    const json = fc
      .jsonValue({ noUnicodeString: false, maxDepth: 5 })
      .filter((value) => !JSON.stringify(value).includes('__proto__'));
    fc.assert(
      fc.property(json, (value) => {
        const { documents, problems } = parseDocuments('f.yaml', JSON.stringify({ value }));
        if (problems.some(({ what }) => what === 'a control character')) return;
        assert.deepEqual(problems, []);
        assert.deepEqual(documents[0]?.value, JSON.parse(JSON.stringify({ value })));
      }),
    );
  });

  it('printable text keeps letters of every alphabet', () => {
    assert.equal(printable('größe 名前 🙂'), 'größe 名前 🙂');
    assert.equal(printable('\u001b[2J\u202e\u0085'), '\\u{1b}[2J\\u{202e}\\u{85}');
  });
});
