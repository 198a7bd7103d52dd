import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { customResourceDefinition } from '../../../operator/api/v1/crd.ts';
import { conditionTypes, kinds, reasons } from '../../../operator/api/v1/index.ts';
import { compareFiles, describeStaleness, generatedFiles } from '../../../operator/cli/generate/index.ts';
import { denials } from '../../../operator/core/request/denials.ts';
import { fieldsOf } from './walk.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const program = join(root, 'operator', 'cmd', 'generate.ts');

function generated(path: string): string {
  const file = generatedFiles().find((candidate) => candidate.path === path);
  assert.ok(file, `${path} is not generated`);
  return file.text;
}

describe('generated files', () => {
  it('are up to date', () => {
    const { status, stderr } = spawnSync(process.execPath, [program, '--check'], { encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.equal(status, 0);
  });

  it('the command refuses arguments it does not know', () => {
    const { status, stderr } = spawnSync(process.execPath, [program, '--chek'], { encoding: 'utf8' });
    assert.equal(status, 2);
    assert.match(stderr, /unknown argument "--chek"; usage: npm run generate/);
  });

  it('are the same text every time', () => {
    assert.deepEqual(generatedFiles(), generatedFiles());
  });

  for (const kind of kinds) {
    it(`${kind.kind}: the manifest says exactly what the schema says, without aliases`, () => {
      const text = generated(`crds/metaveil.dev_${kind.plural}.yaml`);
      assert.deepEqual(parse(text), structuredClone(customResourceDefinition(kind)));
      assert.doesNotMatch(text, /: [&*]a\d/);
    });

    it(`${kind.kind}: the reference has every field, every rule and every column`, () => {
      const text = generated(`docs/reference/${kind.kind.toLowerCase()}.md`);
      const fields = [...fieldsOf(kind, 'spec'), ...fieldsOf(kind, 'status')]
        .map(({ path }) => path.slice(kind.kind.length + 1))
        .filter((path) => path !== 'spec' && path !== 'status');
      const rules = [
        ...kind.rootRules,
        ...fieldsOf(kind, 'spec').flatMap(({ schema }) => schema['x-kubernetes-validations'] ?? []),
      ];
      const missing = [
        ...fields.filter((path) => !text.includes(`| \`${path}\` |`)),
        ...rules.filter(({ message }) => !text.includes(message)).map(({ message }) => message),
        ...kind.columns.filter(({ name }) => !text.includes(`| ${name} |`)).map(({ name }) => name),
      ];
      assert.deepEqual(missing, []);
    });
  }

  it('the page of conditions has every type and reason with its sentence', () => {
    const text = generated('docs/reference/conditions.md');
    for (const [name, sentence] of Object.entries({ ...conditionTypes, ...reasons })) {
      assert.ok(text.includes(`| \`${name}\` | ${sentence} |`), name);
    }
  });

  it('the page of refusals has every code with its status and its text', () => {
    const text = generated('docs/reference/refusals.md');
    for (const [code, denial] of Object.entries(denials)) {
      assert.ok(text.includes(`| \`${code}\` | ${denial.status} | ${denial.text.trim()} |`), code);
    }
  });
});

describe('PROJECT', () => {
  interface Project {
    readonly version: string;
    readonly projectName: string;
    readonly layout: readonly string[];
    readonly multigroup: boolean;
    readonly resources: readonly {
      readonly group: string;
      readonly domain: string;
      readonly version: string;
      readonly kind: string;
      readonly plural: string;
      readonly controller: boolean;
      readonly api: { readonly crdVersion: string; readonly namespaced: boolean };
    }[];
  }
  const project = parse(readFileSync(join(root, 'PROJECT'), 'utf8')) as Project;

  it('is a version 3 project file', () => {
    assert.equal(project.version, '3');
    assert.equal(project.projectName, 'metaveil');
    assert.equal(project.multigroup, false);
    assert.equal(project.layout.length, 1);
  });

  it('lists exactly the kinds there are', () => {
    const listed = project.resources.map((resource) => ({
      crd: `${resource.plural}.${resource.group}.${resource.domain}`,
      kind: resource.kind,
      version: resource.version,
      namespaced: resource.api.namespaced,
    }));
    const existing = kinds.map((kind) => ({
      crd: customResourceDefinition(kind).metadata.name,
      kind: kind.kind,
      version: 'v1',
      namespaced: kind.scope === 'Namespaced',
    }));
    assert.deepEqual(listed, existing);
    assert.ok(project.resources.every(({ controller, api }) => controller && api.crdVersion === 'v1'));
  });
});

describe('comparison with the files on disk', () => {
  const files = [
    { path: 'a', text: 'one\ntwo\n' },
    { path: 'b', text: 'three\n' },
  ];

  it('finds nothing where all are equal', () => {
    assert.deepEqual(compareFiles(files, new Map(files.map(({ path, text }) => [path, text]))), []);
  });

  it('names what is missing, what changed and where, and what is left over', () => {
    const stale = compareFiles(
      files,
      new Map([
        ['a', 'one\n2\n'],
        ['c', ''],
      ]),
    );
    assert.deepEqual(stale.map(describeStaleness), [
      'a:2: differs\n  - 2\n  + two',
      'b: missing',
      'c: no longer generated',
    ]);
  });

  it('sees a file that only lacks its last line', () => {
    assert.deepEqual(compareFiles([{ path: 'a', text: 'x\n' }], new Map([['a', 'x']])), [
      { kind: 'changed', path: 'a', line: 2, found: '', expected: '' },
    ]);
  });
});
