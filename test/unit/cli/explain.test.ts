/** The verbs as a person runs them: offline, with their exit status. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { profiles } from '../../../operator/core/policy/profiles.ts';

const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

async function metaveil(...arguments_: string[]) {
  const child = spawn(process.execPath, ['operator/cmd/metaveil.ts', ...arguments_], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Where a person's own kubeconfig is must not matter.
    env: { PATH: process.env['PATH'], HOME: '/nonexistent' },
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

async function file(name: string, text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'metaveil-explain-'));
  folders.push(folder);
  await writeFile(join(folder, name), text);
  return join(folder, name);
}

function testFile(cases: string): Promise<string> {
  return file('cases.yaml', `apiVersion: cli.metaveil.dev/v1\nkind: Test\ncases:\n${cases}`);
}

const account = 'instance/service-accounts/default/token';

describe('metaveil explain POD PATH', () => {
  const rows = [
    ['metaveil-samples/reports', 'instance/attributes/kube-env', 'Conceal', 'Profile', 'v1'],
    ['metaveil-samples/reports', 'project/attributes/ssh-keys', 'Conceal', 'Policy', 'v1'],
    ['reports', account, 'Reveal', undefined, 'v1'],
    ['visitor', account, 'NoServiceAccount', undefined, 'v1'],
    ['visitor', 'instance/service-accounts/', 'Reveal', undefined, 'v1'],
    ['whoami', '/0.1/meta-data/hostname', 'Conceal', 'Legacy', 'legacy'],
    ['metaveil-samples/whoami', '/computeMetadata/v1/instance/id', 'Reveal', undefined, 'v1'],
  ] as const;
  for (const [pod, path, decision, reason, version] of rows) {
    it(`${pod} ${path}: ${decision}`, async () => {
      const { code, stdout, stderr } = await metaveil('explain', pod, path, '-f', 'samples', '-o', 'json');
      assert.deepEqual([code, stderr], [0, '']);
      const verdict = JSON.parse(stdout) as Record<string, unknown>;
      assert.deepEqual([verdict['decision'], verdict['reason'], verdict['version']], [decision, reason, version]);
    });
  }

  it('prints whose pod it is, the decision and every step of the trace', async () => {
    const { code, stdout } = await metaveil('explain', 'reports', 'instance/attributes/kube-env', '-f', 'samples');
    assert.equal(code, 0);
    const guide = await readFile('docs/explain.md', 'utf8');
    assert.ok(guide.includes(`instance/attributes/kube-env -f samples\n${stdout}\`\`\``), stdout);
  });

  const mistakes = [
    ['nobody', 'instance/id', /^there is no pod "nobody"; use for example "metaveil-samples\/reports"/],
    ['reports', 'instance/../id', /refused before any policy: malformed-path \(segment that ends in a dot\); /],
    ['reports', '/', /answered to everybody, without any policy; /],
    ['re\u001b[31mports', 'instance/id', /^there is no pod "re\\u\{1b\}\[31mports"; /],
  ] as const;
  for (const [pod, path, sentence] of mistakes) {
    it(`says what is wrong with ${JSON.stringify([pod, path])}`, async () => {
      const { code, stdout, stderr } = await metaveil('explain', pod, path, '-f', 'samples');
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, sentence);
      assert.doesNotMatch(stderr, /\n\s+at /);
    });
  }

  it('refuses manifests that are not valid, with their place', async () => {
    const { code, stderr } = await metaveil('explain', 'reports', 'instance/id', '--samples', 'samples/invalid');
    assert.equal(code, 1);
    assert.match(stderr, /^samples\/invalid\/[a-z-]+\.yaml:\d+:\d+: [^;]+; .+\n/);
  });

  it('looks for a pod without namespace in the one that is given', async () => {
    const there = await metaveil('explain', 'reports', 'instance/id', '-f', 'samples', '-n', 'metaveil-samples');
    assert.deepEqual([there.code, there.stderr], [0, '']);
    const elsewhere = await metaveil('explain', 'reports', 'instance/id', '-f', 'samples', '-n', 'shop');
    assert.match(elsewhere.stderr, /^there is no pod "reports" in namespace "shop"; use for example "metaveil-samples/);
  });

  it('lets no name in a manifest steer the terminal, or break JSON', async () => {
    const manifests = await file(
      'pod.yaml',
      `apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {serviceAccountName: "\\e[31m\\u202e"}
---\napiVersion: metaveil.dev/v1\nkind: MetadataProxy\nmetadata: {name: default}\nspec: {}\n`,
    );
    const { stdout } = await metaveil('explain', 'web', 'instance/id', '--samples', manifests);
    assert.match(stdout, /^ServiceAccount {2}\\u\{1b\}\[31m\\u\{202e\}$/m);
    const { stdout: json } = await metaveil('explain', 'web', 'instance/id', '--samples', manifests, '-o', 'json');
    assert.match(json, /^[\n\x20-\x7e]*$/);
    assert.equal((JSON.parse(json) as { serviceAccount: string }).serviceAccount, '\u001b[31m\u202e');
  });

  it('never guesses another cluster than the one that is named', async () => {
    const asked = ['explain', 'reports', 'instance/id'];
    const missing = await metaveil(...asked, '--kubeconfig', join('nowhere', 'config'));
    assert.deepEqual([missing.code, missing.stdout], [1, '']);
    assert.equal(missing.stderr, 'nowhere/config is not a usable kubeconfig: ENOENT\n');
    const none = await metaveil(...asked);
    assert.deepEqual([none.code, none.stdout], [1, '']);
    const hint = 'give --kubeconfig FILE, or --samples DIR to ask about manifests';
    assert.equal(none.stderr, `there is no kubeconfig at /nonexistent/.kube/config; ${hint}\n`);
    const both = await metaveil(...asked, '-f', 'samples', '--context', 'prod');
    assert.deepEqual([both.code, both.stdout], [1, '']);
    assert.match(both.stderr, /'-f, --samples <path>' cannot be used with option '--context <name>'/);
  });

  for (const arguments_ of [[], ['reports'], ['reports', 'instance/id', '--profile', 'Baseline']]) {
    it(`shows its usage for ${JSON.stringify(arguments_)}`, async () => {
      const { code, stdout, stderr } = await metaveil('explain', ...arguments_);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, /Usage: metaveil explain/);
    });
  }
});

describe('metaveil explain --profile', () => {
  for (const profile of ['Privileged', 'Baseline', 'Restricted'] as const) {
    it(`prints every row of ${profile}, as the reference has it, and as data`, async () => {
      const { code, stdout } = await metaveil('explain', '--profile', profile);
      assert.equal(code, 0);
      for (const { pattern, why } of profiles[profile].rows) {
        assert.ok(stdout.split('\n').some((line) => line.includes(` ${pattern} `) && line.endsWith(why)));
      }
      const reference = await readFile('docs/reference/profiles.md', 'utf8');
      assert.ok(reference.includes(`$ metaveil explain --profile ${profile}\n${stdout}\`\`\`\n`), stdout);
      const data = await metaveil('explain', '--profile', profile, '-o', 'json');
      assert.deepEqual(JSON.parse(data.stdout), { profile, ...profiles[profile] });
    });
  }

  it('knows no other', async () => {
    const { code, stderr } = await metaveil('explain', '--profile', 'Open');
    assert.equal(code, 1);
    assert.match(stderr, /Allowed choices are Privileged, Baseline, Restricted/);
  });
});

describe('metaveil test FILE', () => {
  it('passes the cases of the samples', async () => {
    const { code, stdout, stderr } = await metaveil('test', 'samples/tests', '-f', 'samples');
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^RESULT +POD +PATH +EXPECTED$/m);
    assert.match(stdout, /\n9 passed, 0 failed\n$/);
  });

  it('names the place of a case that fails, what was expected, what it is and why', async () => {
    const path = await testFile(
      `  - {pod: reports, path: instance/id, decision: Reveal}\n  - pod: reports\n    path: instance/attributes/kube-env\n    decision: Conceal\n    reason: Policy\n`,
    );
    const { code, stdout } = await metaveil('test', path, '-f', 'samples');
    assert.equal(code, 1);
    assert.ok(stdout.includes(`${path}:5:5: expected Conceal (Policy), but it is Conceal (Profile)\n`), stdout);
    assert.match(stdout, /\n {4}concealed-by-profile Baseline instance\/attributes\/\*\*\n/);
    assert.match(stdout, /\n1 passed, 1 failed\n$/);
  });

  it('gives the same as data', async () => {
    const path = await testFile('  - {pod: visitor, path: instance/id, decision: Conceal}\n');
    const { code, stdout } = await metaveil('test', path, '-f', 'samples', '-o', 'json');
    assert.equal(code, 1);
    const { passed, failed, results } = JSON.parse(stdout) as Record<string, unknown> & { results: unknown[] };
    assert.deepEqual([passed, failed, results.length], [0, 1, 1]);
  });

  it('tells what an Audit policy would conceal from what it would not', async () => {
    const manifests = await file(
      'manifests.yaml',
      `apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {}
---\napiVersion: metaveil.dev/v1\nkind: MetadataProxy\nmetadata: {name: default}\nspec: {}
---\napiVersion: metaveil.dev/v1\nkind: MetadataPolicy\nmetadata: {name: try, namespace: shop}
spec: {mode: Audit, conceal: [instance/id]}\n`,
    );
    const row = (path: string, wouldConceal: boolean) =>
      `  - {pod: web, path: ${path}, decision: Reveal, wouldConceal: ${String(wouldConceal)}}\n`;
    const cases = row('instance/id', true) + row('instance/zone', false) + row('instance/id', false);
    const { code, stdout } = await metaveil('test', await testFile(cases), '--samples', manifests);
    assert.equal(code, 1);
    assert.match(stdout, /expected Reveal \(would not conceal\), but it is Reveal \(would conceal\)/);
    assert.match(stdout, /would conceal: MetadataPolicy\/shop\/try: /);
    assert.match(stdout, /2 passed, 1 failed/);
  });

  const wrong = [
    ['a pod that does not exist', '  - {pod: web, path: instance/id, decision: Conceal}\n', '4:11', /no pod "web"; /],
    [
      'a path no request can have',
      '  - {pod: reports, path: a//b, decision: Conceal}\n',
      '4:26',
      /"a\/\/b" is refused/,
    ],
    [
      'a misspelt field',
      '  - {pod: reports, path: a, decision: Reveal, reson: Policy}\n',
      '4:47',
      /did you mean reason\?/,
    ],
    ['a misspelt decision', '  - {pod: reports, path: a, decision: Conceals}\n', '4:39', /did you mean Conceal\?/],
    ['an own reason', '  - {pod: reports, path: a, decision: Conceal, reason: 7}\n', '4:56', /cases\[0\]\.reason/],
    ['no case', '  []\n', '4:3', /cases is empty; /],
    ['an alias that contains itself', '  - &a [*a]\n', '4:9', /anchor contains itself; /],
    ['a tag', '  - !!js/function "x"\n', '4:5', /not valid YAML: /],
  ] as const;
  for (const [what, cases, place, sentence] of wrong) {
    it(`refuses a file with ${what}, and runs none of it`, async () => {
      const path = await testFile(cases);
      const { code, stdout, stderr } = await metaveil('test', path, '-f', 'samples');
      assert.deepEqual([code, stdout], [1, '']);
      assert.ok(stderr.startsWith(`${path}:${place}: `), stderr);
      assert.match(stderr, sentence);
      assert.doesNotMatch(stderr, /\n\s+at /);
    });
  }

  it('refuses what is no test: another kind, a folder of none, nothing at all', async () => {
    for (const [path, sentence] of [
      ['samples/00-namespace.yaml', /apiVersion is "v1"/],
      ['docs', /no \.yaml or \.yml file/],
      ['nowhere.yaml', /no such file/],
      [await file('empty.yaml', '# nothing\n'), /the file has no case/],
      [await file('list.yaml', '- a\n'), /not a mapping/],
    ] as const) {
      const { code, stdout, stderr } = await metaveil('test', path, '-f', 'samples');
      assert.deepEqual([code, stdout], [1, ''], path);
      assert.match(stderr, sentence);
    }
  });
});
