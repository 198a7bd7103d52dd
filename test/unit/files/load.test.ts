import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { limits } from '../../../operator/adapters/files/limits.ts';
import { fileSamples } from '../../../operator/adapters/files/load.ts';
import { formatProblem } from '../../../operator/local/problem.ts';

const widget = (name: string) => `apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: ${name}}\n`;
let root: string;

before(() => {
  root = mkdtempSync(join(tmpdir(), 'metaveil-files-'));
});

after(() => {
  rmSync(root, { recursive: true });
});

function folder(name: string, files: Readonly<Record<string, string | Buffer>>): string {
  const path = join(root, name);
  mkdirSync(path);
  for (const [file, content] of Object.entries(files)) writeFileSync(join(path, file), content);
  return path;
}

async function namesIn(path: string): Promise<readonly string[]> {
  const outcome = await fileSamples.load(path);
  assert.equal(outcome.kind, 'loaded', JSON.stringify(outcome));
  return outcome.samples.others.map(({ object }) => object.metadata.name);
}

async function problemsIn(path: string): Promise<readonly string[]> {
  const outcome = await fileSamples.load(path);
  assert.equal(outcome.kind, 'rejected', JSON.stringify(outcome));
  return outcome.problems.map((problem) => formatProblem(problem).replaceAll(root, ''));
}

describe('a folder', () => {
  it('is read in the order of file names, .yaml and .yml, without what lies below or beside', async () => {
    const path = folder('order', {
      'b.yml': widget('two'),
      'a.yaml': `${widget('one')}---\n${widget('one-and-a-half')}`,
      'c.json': 'no',
      'README.md': 'no',
      '.yaml.swp': 'no',
    });
    mkdirSync(join(path, 'invalid'));
    writeFileSync(join(path, 'invalid', 'd.yaml'), 'no');
    assert.deepEqual(await namesIn(path), ['one', 'one-and-a-half', 'two']);
  });

  it('reports all files that have mistakes, in order, and uses none of the others', async () => {
    const path = folder('mistakes', { 'a.yaml': 'a: [\n', 'b.yaml': widget('fine'), 'c.yaml': '- no\n' });
    assert.deepEqual(await problemsIn(path), [
      '/mistakes/a.yaml:2:1: not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]; indent the line like its siblings',
      '/mistakes/c.yaml:1:1: the document is not a mapping; write apiVersion, kind, metadata and spec',
    ]);
  });

  it('names both files of an object defined twice', async () => {
    const path = folder('twice', { 'a.yaml': widget('same'), 'b.yaml': `# again\n${widget('same')}` });
    assert.deepEqual(await problemsIn(path), [
      `/twice/b.yaml:2:1: Widget "same" is defined twice; remove one of the two; the other is at /twice/a.yaml:1:1`,
    ]);
  });

  it('without a YAML file is a mistake', async () => {
    assert.deepEqual(await problemsIn(folder('empty', { 'a.txt': '' })), [
      '/empty:1:1: the folder has no .yaml or .yml file; name another folder',
    ]);
  });

  it('with too many files is refused', async () => {
    const files = Array.from({ length: limits.files + 1 }, (_, index) => [`${String(index)}.yaml`, '']);
    assert.deepEqual(await problemsIn(folder('many', Object.fromEntries(files) as Record<string, string>)), [
      '/many:1:1: the folder has more than 1000 files; split the folder',
    ]);
  });
});

describe('a file', () => {
  it('can be named itself, or by a symbolic link as in a mounted ConfigMap', async () => {
    const path = folder('links', { target: widget('linked') });
    symlinkSync('target', join(path, 'a.yaml'));
    assert.deepEqual(await namesIn(path), ['linked']);
    assert.deepEqual(await namesIn(join(path, 'a.yaml')), ['linked']);
  });

  it('that does not exist is a mistake, not an exception', async () => {
    assert.deepEqual(await problemsIn(join(root, 'nowhere')), [
      '/nowhere:1:1: there is no such file or folder; correct the path or its permissions',
    ]);
  });

  it('that is a dangling link, a circle of links, a pipe or a folder is a mistake', { timeout: 10_000 }, async () => {
    const path = folder('odd', {});
    symlinkSync('gone', join(path, 'a.yaml'));
    symlinkSync('b.yaml', join(path, 'b.yaml'));
    execFileSync('mkfifo', [join(path, 'c.yaml')]);
    mkdirSync(join(path, 'd.yaml'));
    assert.deepEqual(await problemsIn(path), [
      '/odd/a.yaml:1:1: there is no such file or folder; correct the path or its permissions',
      '/odd/b.yaml:1:1: its symbolic links lead in a circle; correct the path or its permissions',
      '/odd/c.yaml:1:1: not a regular file; remove it',
      '/odd/d.yaml:1:1: not a regular file; remove it',
    ]);
  });

  it('that never ends is not read to its end', { timeout: 10_000 }, async () => {
    const path = folder('endless', {});
    symlinkSync('/dev/zero', join(path, 'a.yaml'));
    assert.deepEqual(await problemsIn(path), ['/endless/a.yaml:1:1: not a regular file; remove it']);
  });

  it('that is too large or not UTF-8 is refused', async () => {
    const path = folder('bytes', {
      'a.yaml': '#'.repeat(limits.fileBytes + 1),
      'b.yaml': Buffer.from([0x61, 0x3a, 0x20, 0xff]),
    });
    assert.deepEqual(await problemsIn(path), [
      '/bytes/a.yaml:1:1: the file is larger than 2 MiB; split the file',
      '/bytes/b.yaml:1:1: the file is not UTF-8; save it as UTF-8',
    ]);
  });

  it('cannot smuggle control characters into messages by its name', async () => {
    const path = folder('names', { 'a\u001b[2J.yaml': 'a: [\n' });
    const [line = ''] = await problemsIn(path);
    assert.match(line, /^\/names\/a\\u\{1b\}\[2J\.yaml:2:1: /);
  });
});
