/** gcloud with a configuration of its own that is empty; `fresh` also forgets what it keeps on disk. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { serve } from './serve.ts';

const run = promisify(execFile);
let configuration = mkdtempSync(join(tmpdir(), 'gcloud-'));

async function gcloud(fresh: boolean | undefined, ...arguments_: readonly string[]): Promise<string> {
  if (fresh === true) forget();
  const env = {
    ...process.env,
    CLOUDSDK_CONFIG: configuration,
    CLOUDSDK_CORE_DISABLE_PROMPTS: '1',
    CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: 'true',
    CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: 'true',
    CLOUDSDK_CORE_DISABLE_FILE_LOGGING: 'true',
  };
  const { stdout } = await run('gcloud', arguments_, { env, timeout: 90_000 }).catch((error: unknown) => {
    const { stderr = '' } = error as { readonly stderr?: string };
    throw new Error(stderr.trim() === '' ? String(error) : stderr.trim());
  });
  return stdout.trim();
}

function forget(): void {
  rmSync(configuration, { recursive: true, force: true });
  configuration = mkdtempSync(join(tmpdir(), 'gcloud-'));
}

process.on('exit', () => rmSync(configuration, { recursive: true, force: true }));

await serve({
  'project-id': ({ fresh }) => gcloud(fresh, 'config', 'get', 'project'),
  email: async ({ fresh }) => {
    const account = await gcloud(fresh, 'auth', 'list', '--filter=status:ACTIVE', '--format=value(account)');
    if (account === '') throw new Error('No credentialed accounts.');
    return account;
  },
  'access-token': ({ fresh, scopes = [] }) => {
    const asked = scopes.length === 0 ? [] : [`--scopes=${scopes.join(',')}`];
    return gcloud(fresh, 'auth', 'print-access-token', ...asked);
  },
  'identity-token': ({ fresh, audience }) => gcloud(fresh, 'auth', 'print-identity-token', `--audiences=${audience}`),
});
