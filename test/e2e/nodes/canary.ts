/** Looks for credentials in what the product writes. */
import assert from 'node:assert/strict';
import { kubectlOk } from '../installation.ts';
import type { Site } from './site.ts';

/** Google's access tokens as the emulator makes them, and any JWT: Kubernetes' tokens and identity tokens are some. */
const forms = [/ya29\.[\w-]/, /\beyJ[\w-]{8,}\.eyJ[\w-]{8,}/];

/** The secrets that the text contains, each shortened so that the finding is no leak itself. */
export function secretsIn(text: string, secrets: Iterable<string>): readonly string[] {
  const known = [...secrets].filter((secret) =>
    secret.split('.').some((part) => part.length > 16 && text.includes(part)),
  );
  const alike = forms.flatMap((form) => form.exec(text)?.[0] ?? []);
  return [...known, ...alike].map((secret) => `${secret.slice(0, 12)}…`);
}

/** Log lines of all processes, and every object and event that users can read. */
export async function assertNothingLeaked(site: Site, seenByPods: Iterable<string>): Promise<void> {
  const secrets = new Set([...site.secrets, ...seenByPods]);
  assert.ok(secrets.size > 0, 'there were secrets to leak');
  const output = site.output();
  assert.ok(output.includes('"event":"token-issued"'), 'the processes logged what they did');
  // What is looked for would be found: a credential's header part alone is no secret, so it is cut off.
  for (const secret of secrets) {
    const [, ...rest] = secret.split('.');
    assert.notDeepEqual(secretsIn(`{"error":"${rest.join('.')}"}`, [secret]), []);
  }
  assert.deepEqual(secretsIn(output, payloads(secrets)), []);
  const kinds = 'wib,wip,mdp,cmdp,mdproxy,events,configmaps,daemonsets,pods,nodes,leases';
  const objects = await kubectlOk(site.cluster, ['get', kinds, '-A', '-o', 'json']);
  assert.deepEqual(secretsIn(objects, payloads(secrets)), []);
}

/** Without the header, which many tokens share. */
function payloads(secrets: Iterable<string>): readonly string[] {
  return [...secrets].map((secret) => secret.slice(secret.indexOf('.') + 1));
}
