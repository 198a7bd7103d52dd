/** What somebody changes while pods run: how soon every node follows. Times count from the write at the API server. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { WorkloadIdentityBinding, WorkloadIdentityProvider } from '../../../operator/api/v1/index.ts';
import { concealedSentence } from '../../../operator/core/request/denials.ts';
import { eventually } from '../../cluster/eventually.ts';
import { clusterKind, namespacedKind } from '../../cluster/kinds.ts';
import type { Answer, Sample } from '../../netns/agent-client.ts';
import { kubectlOk, principalOf } from '../installation.ts';
import { assertNothingLeaked } from './canary.ts';
import { tokenOf, tokenPath, type TenantPod } from './pod.ts';
import { binding, emailOf, Site, tenants, workloadIdentityUser } from './site.ts';

const Bindings = namespacedKind<WorkloadIdentityBinding>(
  'metaveil.dev/v1',
  'WorkloadIdentityBinding',
  'workloadidentitybindings',
);
const Providers = clusterKind<WorkloadIdentityProvider>(
  'metaveil.dev/v1',
  'WorkloadIdentityProvider',
  'workloadidentityproviders',
);

/** The promise: no connected node serves the old identity any more. */
const revokedWithinMs = 2_000;
const observeMs = revokedWithinMs + 1_000;
/** On a busy machine. */
const longestAnswerMs = 300;

let site: Site;
/** Of one ServiceAccount, on two nodes. */
let pods: readonly TenantPod[];
const tokensSeen = new Set<string>();

before(async () => {
  site = await Site.open(['node-a', 'node-b']);
  await site.startLeader();
  // One Deployment per node; the other files have the DaemonSet.
  await site.applyMetadataProxy({ workload: 'Deployment' });
  await site.bind('reports');
  const nodes = await Promise.all(['node-a', 'node-b'].map((name) => site.startNode(name)));
  pods = await Promise.all(
    nodes.map((node, index) =>
      node.runPod(`reports-${index}`, { serviceAccount: 'reports', labels: { app: 'reports' } }),
    ),
  );
});

after(async () => {
  await site[Symbol.asyncDispose]();
});

/** Whom the answer lets the pod act as; '' for no one. */
function identityIn(answer: Answer): string {
  if (answer.kind === 'error' || answer.status !== 200) return '';
  const token = tokenOf(answer);
  tokensSeen.add(token);
  return site.emailOf(token);
}

async function awaitIdentity(email: string): Promise<void> {
  for (const pod of pods) {
    await eventually(`${pod.name} acts as ${email}`, async () => {
      return identityIn(await pod.get(tokenPath)) === email || undefined;
    });
  }
}

interface Observation {
  readonly writtenAt: number;
  /** Pod → its answers. */
  readonly samples: readonly (readonly Sample[])[];
}

/** All pods ask for their token all the time; `write` happens in the midst of it. */
async function observe(write: () => Promise<unknown>): Promise<Observation> {
  const loops = await Promise.all(pods.map((pod) => pod.asking(tokenPath, 20)));
  await new Promise((resolve) => setTimeout(resolve, 3 * longestAnswerMs));
  const writtenAt = Date.now();
  await write();
  await new Promise((resolve) => setTimeout(resolve, writtenAt + observeMs - Date.now()));
  return { writtenAt, samples: await Promise.all(loops.map((loop) => loop.end())) };
}

/** Before the write everybody had `email`; after the time nobody has. Returns the last time it was served, in ms. */
function assertRevoked({ writtenAt, samples }: Observation, email: string): number {
  const lastServed = samples.map((ofPod) => {
    // What was asked a moment before the write may be answered after it.
    const before = ofPod.filter(({ at }) => at < writtenAt - longestAnswerMs);
    assert.ok(before.length >= 5, 'enough requests before the write');
    for (const { answer } of before) assert.equal(identityIn(answer), email, outcomeOf(answer));
    const late = ofPod.filter(({ at }) => at >= writtenAt + revokedWithinMs);
    assert.ok(late.length >= 10, 'enough requests after the time');
    assert.deepEqual([...new Set(late.map(({ answer }) => identityIn(answer)))].includes(email), false);
    assert.ok(
      ofPod.every(({ answer }) => answer.kind === 'reply'),
      'every request was answered',
    );
    return Math.max(...ofPod.filter(({ answer }) => identityIn(answer) === email).map(({ at }) => at - writtenAt));
  });
  return Math.max(...lastServed);
}

function statuses({ samples, writtenAt }: Observation): readonly string[] {
  const late = samples.flat().filter(({ at }) => at >= writtenAt + revokedWithinMs);
  return [...new Set(late.map(({ answer }) => outcomeOf(answer)))];
}

/** What became of a request, without its body. */
function outcomeOf(answer: Answer): string {
  if (answer.kind === 'error') return answer.code;
  return `${answer.status} ${String(answer.headers['x-metaveil-code'] ?? '')}`.trim();
}

describe('an identity that is taken away', () => {
  const name = { namespace: tenants, name: 'reports' };
  const old = emailOf('reports');

  it('is served by no node 2 s after the binding was removed', async (context) => {
    await awaitIdentity(old);
    const observation = await observe(() => site.cluster.api.delete(Bindings, name));
    context.diagnostic(`last served ${assertRevoked(observation, old)} ms after the write`);
    assert.deepEqual(statuses(observation), ['404 no-service-account']);
    await site.apply(binding('reports'));
    await awaitIdentity(old);
  });

  it('is served by no node 2 s after the binding was suspended, and again when it is resumed', async (context) => {
    const observation = await observe(() => site.cluster.api.patch(Bindings, name, { spec: { suspend: true } }));
    context.diagnostic(`last served ${assertRevoked(observation, old)} ms after the write`);
    assert.deepEqual(statuses(observation), ['404 no-service-account']);
    await site.cluster.api.patch(Bindings, name, { spec: { suspend: false } });
    await awaitIdentity(old);
  });

  it('is served by no node 2 s after the binding names another account', async (context) => {
    site.google.grant(emailOf('archive'), workloadIdentityUser, principalOf('reports', tenants));
    const spec = { googleServiceAccount: emailOf('archive') };
    const observation = await observe(() => site.cluster.api.patch(Bindings, name, { spec }));
    context.diagnostic(`last served ${assertRevoked(observation, old)} ms after the write`);
    assert.deepEqual(statuses(observation), ['200']);
    await awaitIdentity(emailOf('archive'));
    await site.cluster.api.patch(Bindings, name, { spec: { googleServiceAccount: old } });
    await awaitIdentity(old);
  });

  it('is served by no node once a verification has found the permission gone', async (context) => {
    // Verifications are an hour apart; a changed provider is verified at once and changes no identity.
    const observation = await observe(async () => {
      site.google.revoke(old, workloadIdentityUser, principalOf('reports', tenants));
      await site.cluster.api.patch(Providers, { name: 'default' }, { spec: { adoptAnnotations: true } });
    });
    context.diagnostic(`last served ${assertRevoked(observation, old)} ms after the re-verification was asked for`);
    assert.deepEqual(statuses(observation), ['403 google-refused']);
    const verified = '{.status.conditions[?(@.type=="CredentialsVerified")].reason}';
    assert.equal(
      await kubectlOk(site.cluster, ['get', 'wib', 'reports', '-n', tenants, '-o', `jsonpath=${verified}`]),
      'PermissionDenied',
    );
    await eventually('an event says so', async () => {
      const events = await kubectlOk(site.cluster, ['get', 'events', '-n', tenants, '-o', 'jsonpath={..reason}']);
      return events.includes('TokensDropped') || undefined;
    });
    site.google.grant(old, workloadIdentityUser, principalOf('reports', tenants));
    await site.cluster.api.patch(Providers, { name: 'default' }, { spec: { adoptAnnotations: false } });
    await awaitIdentity(old);
  });
});

describe('a policy that is changed while a pod runs', () => {
  const zone = 'instance/zone';
  const policy = {
    apiVersion: 'metaveil.dev/v1',
    kind: 'MetadataPolicy',
    metadata: { name: 'hide-zone', namespace: tenants },
    spec: { podSelector: { matchLabels: { app: 'reports' } }, conceal: [zone] },
  };

  const awaitStatus = async (status: number): Promise<number> => {
    const since = Date.now();
    for (const pod of pods) {
      await eventually(
        `${pod.name} gets ${status} for ${zone}`,
        async () => {
          const answer = await pod.get(zone);
          return (answer.kind === 'reply' && answer.status === status) || undefined;
        },
        2_000,
      );
    }
    return Date.now() - since;
  };

  it('conceals within 2 s of kubectl apply, and reveals within 2 s of kubectl delete', async (context) => {
    await awaitStatus(200);
    await kubectlOk(site.cluster, ['apply', '-f', '-'], JSON.stringify(policy));
    context.diagnostic(`concealed ${await awaitStatus(403)} ms after kubectl`);
    const answer = await pods[0]?.get(zone);
    assert.equal(answer?.kind === 'reply' && answer.body, concealedSentence);
    await kubectlOk(site.cluster, ['delete', 'mdp', 'hide-zone', '-n', tenants]);
    context.diagnostic(`revealed ${await awaitStatus(200)} ms after kubectl`);
  });

  it('never reveals kube-env', async () => {
    for (const pod of pods) {
      for (const path of ['instance/attributes/kube-env', 'instance/attributes/kube-env?alt=json']) {
        const answer = await pod.get(path);
        assert.ok(answer.kind === 'reply');
        assert.equal(answer.status, 403);
        assert.equal(answer.body, 'This metadata endpoint is concealed.');
        assert.equal(answer.headers['x-metaveil-code'], 'concealed');
      }
      const parent = await pod.get('instance/?recursive=true');
      assert.equal(parent.kind === 'reply' && parent.status, 200);
      assert.doesNotMatch(JSON.stringify(parent), /kube-env|kubeEnv/);
    }
  });
});

describe('what is written', () => {
  it('contains no token', async () => {
    await assertNothingLeaked(site, tokensSeen);
  });
});
