import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../cluster/eventually.ts';

const program = fileURLToPath(new URL('../../../operator/cmd/metaveil.ts', import.meta.url));
const samples = fileURLToPath(new URL('../../../samples', import.meta.url));
const folders: string[] = [];

after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

interface Run {
  readonly child: ChildProcess;
  readonly output: { stdout: string; stderr: string };
}

function start(...arguments_: string[]): Run {
  const child = spawn(process.execPath, [program, 'run', ...arguments_], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  return { child, output };
}

async function finished(...arguments_: string[]) {
  const { child, output } = start(...arguments_);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

async function copyOfSamples(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'metaveil-samples-'));
  folders.push(folder);
  const files = (await readdir(samples)).filter((name) => name.endsWith('.yaml'));
  for (const name of files) await cp(join(samples, name), join(folder, name));
  return folder;
}

describe('metaveil run --once', () => {
  it('shows what the operator applies and what a bound and an unbound pod get', async () => {
    const { code, stdout, stderr } = await finished('--once', '--samples', samples);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    for (const kind of ['DaemonSet', 'Deployment', 'NetworkPolicy', 'ServiceAccount']) {
      assert.match(stdout, new RegExp(`^  ${kind} +`, 'm'));
    }
    assert.doesNotMatch(stdout, /^Not ready$/m);
    assert.match(stdout, /access token of \d+ characters \(redacted\), valid for 3[56]\d\d s/);
    assert.match(stdout, /200 reports@my-project\.iam\.gserviceaccount\.com/);
    assert.match(
      stdout,
      /403 This metadata endpoint is concealed\.\n +trace: effective-profile Baseline MetadataProxy > concealed-by-profile/,
    );
    assert.match(
      stdout,
      /404 This metadata endpoint is concealed\.\n +ServiceAccount metaveil-samples\/visitor has no Google identity: create a WorkloadIdentityBinding named visitor/,
    );
  });

  it('prints no token', async () => {
    const { stdout, stderr } = await finished('--once', '--samples', samples);
    assert.doesNotMatch(stdout + stderr, /ya29\.|eyJ[A-Za-z0-9_-]{10}/);
  });
});

describe('bad input', () => {
  const rows = [
    {
      mistake: 'an unknown field',
      spec: 'serviceAccountName: reports\n  googleServiceAcount: reports@my-project.iam.gserviceaccount.com',
      line: 8,
    },
    { mistake: 'a wrong type', spec: 'serviceAccountName: reports\n  access: Direct\n  suspend: "yes"', line: 9 },
    { mistake: 'a name that is not the ServiceAccount', spec: 'serviceAccountName: other\n  access: Direct', line: 4 },
  ];
  for (const { mistake, spec, line } of rows) {
    it(`with ${mistake} names file, line and column, starts nothing and exits with 1`, async () => {
      const folder = await mkdtemp(join(tmpdir(), 'metaveil-bad-'));
      folders.push(folder);
      const binding = `apiVersion: metaveil.dev/v1\nkind: WorkloadIdentityBinding\nmetadata:\n  name: reports\n  namespace: shop\nspec:\n  ${spec}\n`;
      await writeFile(join(folder, 'binding.yaml'), binding);
      const { code, stdout, stderr } = await finished('--samples', folder);
      assert.equal(code, 1);
      assert.equal(stdout, '');
      assert.match(stderr, new RegExp(`binding\\.yaml:${line}:\\d+: [^;]+; .+`));
      assert.doesNotMatch(stderr, /\n\s+at /);
    });
  }

  it('shows every mistake of a folder at once', async () => {
    const { code, stderr } = await finished('--samples', join(samples, 'invalid'));
    const files = (await readdir(join(samples, 'invalid'))).filter((name) => name.endsWith('.yaml'));
    assert.equal(code, 1);
    for (const file of files) assert.ok(stderr.includes(`${file}:`), `${file} is not named`);
  });

  it('names a folder that does not exist', async () => {
    const { code, stderr } = await finished('--samples', join(samples, 'nowhere'));
    assert.equal(code, 1);
    assert.match(stderr, /nowhere/);
    assert.doesNotMatch(stderr, /\n\s+at /);
  });
});

describe('a changed file', () => {
  it('takes effect on the running pod; one that is not valid changes nothing', { timeout: 60_000 }, async () => {
    const folder = await copyOfSamples();
    const { child, output } = start('--samples', folder);
    try {
      const address = await eventually('it serves', () =>
        Promise.resolve(/metaveil-samples\/reports: GCE_METADATA_HOST=(\S+)/.exec(output.stdout)?.[1]),
      );
      const email = () => ask(address, 'instance/service-accounts/default/email');
      assert.deepEqual(await email(), { status: 200, text: 'reports@my-project.iam.gserviceaccount.com' });

      await writeFile(join(folder, '90-broken.yaml'), 'apiVersion: metaveil.dev/v1\nkind: MetadataPolicy\n');
      await eventually('the mistake is named', () =>
        Promise.resolve(/last good ones/.exec(output.stderr) ?? undefined),
      );
      assert.equal((await email()).status, 200);
      await rm(join(folder, '90-broken.yaml'));

      await writeFile(join(folder, '90-conceal.yaml'), conceal);
      await eventually('the account is concealed', async () => ((await email()).status === 403 ? true : undefined));
    } finally {
      child.kill('SIGTERM');
      const [code] = (await once(child, 'close')) as [number | null];
      assert.equal(code, 0);
    }
  });
});

const conceal = `apiVersion: metaveil.dev/v1
kind: MetadataPolicy
metadata:
  name: hide-account
  namespace: metaveil-samples
spec:
  conceal: [instance/service-accounts]
`;

async function ask(address: string, path: string) {
  const url = `http://${address}/computeMetadata/v1/${path}`;
  const reply = await fetch(url, { headers: { 'Metadata-Flavor': 'Google' } });
  return { status: reply.status, text: await reply.text() };
}
