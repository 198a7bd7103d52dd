/**
 * Secrets are planted in every answer that reaches the product, and looked for in everything that leaves it. Each sink
 * is a test of its own: it has what the product writes there, and a secret that is put there on purpose is found.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { WorkloadIdentityProvider } from '../../../operator/api/v1/index.ts';
import { leakCanary } from '../../../operator/local/gce/instance.ts';
import { eventually } from '../../cluster/eventually.ts';
import { clusterKind, ServiceAccounts } from '../../cluster/kinds.ts';
import { kubectlOk, providerManifest, type ControllerProcess } from '../installation.ts';
import { secretsIn } from './canary.ts';
import type { TestNode } from './node.ts';
import { tokenOf, tokenPath, type TenantPod } from './pod.ts';
import { RecordingGoogle, type PlantedReply } from './recording-google.ts';
import { RecordingUpstream } from './recording-upstream.ts';
import { Site, tenants } from './site.ts';

const Providers = clusterKind<WorkloadIdentityProvider>(
  'metaveil.dev/v1',
  'WorkloadIdentityProvider',
  'workloadidentityproviders',
);

let site: Site;
let google: RecordingGoogle;
let upstream: RecordingUpstream;
let controller: ControllerProcess;
let node: TestNode;
/** Its binding impersonates, with an allow-list of audiences. */
let bound: TenantPod;
let direct: TenantPod;
/** Has the node's own account and all its metadata. */
let privileged: TenantPod;
let unbound: TenantPod;

/** Bodies and headers of all that was not 200. */
const refusals: string[] = [];
const refusalCodes = new Set<string>();
/** Of the binding, while Google refused it. */
let refusedBinding = '';
/** In error bodies; of the form of Google's tokens where they stand in Google's own sentences. */
const errorCanaries = ['ya29.c.canary-in-an-sts-error', 'ya29.c.canary-in-an-iam-error', 'canary-in-an-upstream-error'];
const foreignCanary = 'canary-in-a-reply-that-is-not-googles';

before(async () => {
  site = await Site.open(['node-a']);
  google = await RecordingGoogle.start(site.google);
  upstream = await RecordingUpstream.start();
  site.upstream = upstream.url;
  await kubectlOk(site.cluster, ['apply', '--server-side', '-f', '-'], providerManifest(google.endpoints));
  controller = await site.startLeader();
  await site.applyMetadataProxy({ platform: 'GCE' });
  await site.bind('reports');
  await site.cluster.api.apply(ServiceAccounts, { metadata: { name: 'direct', namespace: tenants } });
  await site.apply({
    apiVersion: 'metaveil.dev/v1',
    kind: 'WorkloadIdentityBinding',
    metadata: { name: 'direct', namespace: tenants },
    spec: { serviceAccountName: 'direct', access: 'Direct' },
  });
  await site.apply({
    apiVersion: 'metaveil.dev/v1',
    kind: 'ClusterMetadataPolicy',
    metadata: { name: 'open' },
    spec: { podSelector: { matchLabels: { sees: 'all' } }, profile: 'Privileged', legacyEndpoints: 'Allow' },
  });
  node = await site.startNode('node-a');
  bound = await node.runPod('bound', { serviceAccount: 'reports' });
  direct = await node.runPod('direct', { serviceAccount: 'direct' });
  privileged = await node.runPod('privileged', { serviceAccount: 'default', labels: { sees: 'all' } });
  unbound = await node.runPod('unbound', { serviceAccount: 'default' });
  await everythingOnce();
});

after(async () => {
  await site[Symbol.asyncDispose]();
  await google.close();
  await upstream.close();
});

/** Asks below /computeMetadata/v1/, or for a whole path; keeps what is no value. */
async function ask(pod: TenantPod, path: string): Promise<{ readonly status: number; readonly body: string }> {
  const target = path.startsWith('/') ? path : `/computeMetadata/v1/${path}`;
  const answer = await pod.get('', { path: target, timeoutMs: 15_000 });
  if (answer.kind === 'error') return { status: 0, body: answer.code };
  const { status, body, headers } = answer;
  if (status !== 200) {
    refusals.push(`${status} ${JSON.stringify(headers)} ${body}`);
    refusalCodes.add(String(headers['x-metaveil-code']));
  }
  return { status, body };
}

const identity = (audience: string) => `instance/service-accounts/default/identity?audience=${audience}&format=full`;
const nodeSecrets = [
  'instance/attributes/kube-env',
  'instance/attributes/user-data',
  'instance/attributes/startup-script',
  'instance/attributes/ssh-keys',
  'project/attributes/ssh-keys',
  'instance/gce-workload-certificates/workload-identities',
];

async function everythingOnce(): Promise<void> {
  await tokensAndSecrets();
  await refusedByPolicy();
  await refusedByGoogle();
  await refusedByTheUpstream();
  await eventually('it is counted, and told in an event', async () => {
    const events = await kubectlOk(site.cluster, ['get', 'events', '-A', '-o', 'jsonpath={..reason}']);
    return ['LegacyMetadataEndpoint', 'PermissionDenied'].every((reason) => events.includes(reason)) || undefined;
  });
}

/** Each pod gets what it may have. */
async function tokensAndSecrets(): Promise<void> {
  for (const pod of [bound, direct])
    await eventually(`${pod.name} has a token`, async () => (await pod.token()).token !== '' || undefined);
  assert.ok(google.secrets.generateAccessToken.has(tokenOf(await bound.get(tokenPath))));
  assert.ok(google.secrets.STS.has(tokenOf(await direct.get(tokenPath))));
  assert.equal((await ask(bound, identity('https://one.example'))).status, 200);
  assert.match((await ask(privileged, tokenPath)).body, new RegExp(leakCanary, 'u'));
  assert.match((await ask(privileged, identity('https://one.example'))).body, new RegExp(leakCanary, 'u'));
  for (const path of nodeSecrets) assert.match((await ask(privileged, path)).body, new RegExp(leakCanary, 'u'), path);
  for (const pod of [privileged, bound, unbound]) assert.equal((await ask(pod, '?recursive=true')).status, 200);
}

async function refusedByPolicy(): Promise<void> {
  for (const pod of [bound, direct, unbound])
    for (const path of nodeSecrets) assert.equal((await ask(pod, path)).status, 403, path);
  for (const path of [tokenPath, identity('https://one.example')]) assert.equal((await ask(unbound, path)).status, 404);
  assert.equal((await ask(direct, identity('https://one.example'))).status, 404);
  const account = 'service-accounts/default/token';
  for (const path of [`/computeMetadata/v1beta1/instance/${account}`, `/0.1/meta-data/${account}`])
    assert.equal((await ask(bound, path)).status, 403, path);
}

/** Google's own words, with what it was sent and with tokens of its own in them; and replies that are not Google's. */
const googleErrors: readonly (readonly [string, (credential: string) => PlantedReply, 'sts' | 'iamcredentials'])[] = [
  [
    'sts-refusal',
    (subject) => ({
      status: 400,
      body: JSON.stringify({ error: 'invalid_grant', error_description: `bad ${subject} ${errorCanaries[0] ?? ''}` }),
    }),
    'sts',
  ],
  [
    'iam-refusal',
    (bearer) => ({
      status: 403,
      body: JSON.stringify({
        error: { code: 403, status: 'PERMISSION_DENIED', message: `denied ${bearer} ${errorCanaries[1] ?? ''}` },
      }),
    }),
    'iamcredentials',
  ],
  ['sts-html', (subject) => ({ status: 403, body: `<p>${subject} ${foreignCanary}</p>` }), 'sts'],
  ['iam-html', (bearer) => ({ status: 403, body: `<p>${bearer} ${foreignCanary}</p>` }), 'iamcredentials'],
  ['iam-half', (bearer) => ({ status: 200, body: `{"accessToken":"${bearer}${foreignCanary}` }), 'iamcredentials'],
];

async function refusedByGoogle(): Promise<void> {
  for (const [name, reply, at] of googleErrors) {
    google.instead = (service, credential) => (service === at ? reply(credential) : undefined);
    const scopes = `https://www.googleapis.com/auth/${name}`;
    assert.notEqual((await ask(bound, `${tokenPath}?scopes=${scopes}`)).status, 200, name);
    assert.notEqual((await ask(bound, identity(`https://${name}.example`))).status, 200, name);
    if (name === 'iam-refusal') await verifiedAnew();
  }
  google.instead = undefined;
}

/** A changed provider is verified at once: the refusal gets into status and events. */
async function verifiedAnew(): Promise<void> {
  await site.cluster.api.patch(Providers, { name: 'default' }, { spec: { adoptAnnotations: true } });
  await eventually('the status says what Google said', async () => {
    refusedBinding = await kubectlOk(site.cluster, ['get', 'wib', 'reports', '-n', tenants, '-o', 'json']);
    return refusedBinding.includes('PermissionDenied') || undefined;
  });
}

async function refusedByTheUpstream(): Promise<void> {
  for (const status of [400, 403, 404, 500]) {
    upstream.instead = { status, body: errorCanaries[2] ?? '' };
    for (const path of [tokenPath, 'instance/attributes/kube-env', 'instance/?recursive=true'])
      assert.notEqual((await ask(privileged, path)).status, 200, `${status} ${path}`);
  }
  upstream.instead = undefined;
}

/** Everything that was planted, by where. */
function planted(): Readonly<Record<string, readonly string[]>> {
  const passed = Object.entries(google.secrets).map(([kind, secrets]): [string, string[]] => [kind, [...secrets]]);
  return {
    ...Object.fromEntries(passed),
    'projected token': [...site.secrets],
    'metadata server': [leakCanary],
    errors: [...errorCanaries, foreignCanary],
  };
}

/** What of it the text has. The header of a JSON Web Token is no secret. */
function leaks(text: string): readonly string[] {
  const secrets = Object.values(planted()).flat();
  return secretsIn(
    text,
    secrets.map((secret) => (secret.startsWith('eyJ') ? secret.slice(secret.indexOf('.') + 1) : secret)),
  );
}

/** The sink has what it should have, would show a secret, and shows none. */
function assertClean(text: string, ...expected: readonly string[]): void {
  for (const each of expected) assert.ok(text.includes(each), `${each} is not there: was anything written?`);
  for (const [where, secrets] of Object.entries(planted())) {
    assert.ok(secrets.length > 0, `nothing was planted: ${where}`);
    for (const secret of secrets) assert.notDeepEqual(leaks(`${text}${secret}`), [], `of ${where} nothing is found`);
  }
  assert.deepEqual(leaks(text), []);
}

describe('no secret that was planted is', () => {
  it('in a log line of the controller or of a proxy', () => {
    assertClean(site.output(), 'token-issued', 'nodeapi-exchange-failed', 'token-refused', 'request-denied');
  });

  it('in the metrics', async () => {
    const issued = 'metaveil_token_requests_total{kind="access",outcome="issued"}';
    const refused = 'metaveil_token_requests_total{kind="identity",outcome="google-refused"}';
    assertClean(await controller.metrics(), issued, refused, 'metaveil_legacy_requests_total{');
  });

  it('in an event', async () => {
    const events = await kubectlOk(site.cluster, ['get', 'events', '-A', '-o', 'json']);
    assertClean(events, 'LegacyMetadataEndpoint', 'PermissionDenied', '[redacted]');
  });

  it('in the status, or anywhere else in an object', async () => {
    const kinds = 'wib,wip,mdp,cmdp,mdproxy,configmaps,daemonsets,pods,nodes,leases';
    const objects = await kubectlOk(site.cluster, ['get', kinds, '-A', '-o', 'json']);
    assertClean(`${refusedBinding}${objects}`, 'CredentialsVerified', 'PermissionDenied', '[redacted]');
  });

  it('in the body or a header of a refusal', () => {
    const codes = ['concealed', 'legacy', 'no-service-account', 'google-refused', 'upstream-refused', 'not-found'];
    for (const code of [...codes, 'upstream-unavailable', 'no-identity-tokens'])
      assert.ok(refusalCodes.has(code), code);
    assertClean(refusals.join('\n'), '[redacted]', 'invalid_grant', 'PERMISSION_DENIED');
  });

  it('in a file that the proxy writes', () => {
    const folder = join(site.segment.folder, node.name, 'state');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
    const texts = files.filter((file) => statSync(file).isFile()).map((file) => readFileSync(file, 'utf8'));
    assertClean(texts.join('\n'), '"type":"snapshot"', 'workload/');
  });
});
