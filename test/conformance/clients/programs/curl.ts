/** curl as a script in a pod uses it: one process per request, and the status is all it looks at. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { serve } from './serve.ts';

const run = promisify(execFile);
const host = process.env['GCE_METADATA_HOST'] ?? '169.254.169.254';
const account = 'instance/service-accounts/default';

/** The address is asked over both of its forms; `--fail-with-body` shows what a refusal says. */
async function curl(...arguments_: readonly string[]): Promise<string> {
  const limits = ['--silent', '--show-error', '--fail-with-body', '--globoff', '--max-time', '30'];
  const { stdout } = await run('curl', [...limits, ...arguments_]).catch((error: unknown) => {
    const { stdout: said = '', stderr = '' } = error as { readonly stdout?: string; readonly stderr?: string };
    throw new Error(`${stderr.trim()}: ${said.trim()}`);
  });
  return stdout;
}

function metadata(path: string, query = ''): Promise<string> {
  return curl('--header', 'Metadata-Flavor: Google', `http://${host}/computeMetadata/v1/${path}${query}`);
}

async function accessToken(scopes: readonly string[] = []): Promise<string> {
  const query = scopes.length === 0 ? '' : `?scopes=${encodeURIComponent(scopes.join(','))}`;
  const { access_token: token } = JSON.parse(await metadata(`${account}/token`, query)) as { access_token: string };
  return token;
}

await serve({
  'on-gce': async () => String(/^metadata-flavor: google\r?$/imu.test(await curl('--head', `http://${host}/`))),
  'project-id': () => metadata('project/project-id'),
  zone: () => metadata('instance/zone'),
  email: () => metadata(`${account}/email`),
  'access-token': ({ scopes }) => accessToken(scopes),
  'identity-token': ({ audience }) => metadata(`${account}/identity`, `?audience=${encodeURIComponent(audience)}`),
  'universe-domain': () => metadata('universe/universe-domain'),
  'list-buckets': async ({ endpoint }) => {
    const authorization = `Authorization: Bearer ${await accessToken()}`;
    const url = `${endpoint}/storage/v1/b?project=${await metadata('project/project-id')}`;
    const { items } = JSON.parse(await curl('--header', authorization, url)) as { items: { name: string }[] };
    return items.map(({ name }) => name).join(',');
  },
});
