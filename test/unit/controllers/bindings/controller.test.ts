import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MetaveilError } from '../../../../operator/core/errors.ts';
import { binding, gkeProvider, namespace, pod, provider, serviceAccount } from '../../../builders/objects.ts';
import { base, World } from './harness.ts';

const statusCall = 'status WorkloadIdentityBinding web/api';
const readyConditions = [
  'Ready: True Ready',
  'Accepted: True Accepted',
  'Programmed: True NoWorkloads',
  'CredentialsVerified: True Verified',
];

describe('a binding', () => {
  it('gets Ready when it is accepted, programmed and verified', async () => {
    const world = await new World(...base, binding()).start();
    assert.deepEqual(world.conditions(), readyConditions);
    assert.equal(world.status()?.observedGeneration, 1);
    assert.equal(
      world.status()?.principal,
      'principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/prod/subject/system:serviceaccount:web:api',
    );
    assert.deepEqual(world.events.take(), ['Normal Ready']);
  });

  it('writes nothing when nothing changed, also after a restart', async () => {
    const world = await new World(...base, binding()).start();
    world.takeCalls();
    await world.timers.advance(60_000);
    assert.deepEqual(world.takeCalls(), []);
    await world.restart();
    await world.timers.advance(1_200_000);
    assert.deepEqual(world.takeCalls(), []);
    assert.deepEqual(world.events.take(), ['Normal Ready']);
    assert.deepEqual(world.verifier.asked, ['web/api', 'web/api']);
  });

  it('waits for its ServiceAccount and provider, in words that say what to do', async () => {
    const world = await new World(namespace(), binding()).start();
    assert.deepEqual(world.conditions(), [
      'Ready: False ServiceAccountNotFound',
      'Accepted: False ServiceAccountNotFound',
      'Programmed: Unknown ServiceAccountNotFound',
      'CredentialsVerified: Unknown ServiceAccountNotFound',
      'Stalled: True ServiceAccountNotFound',
    ]);
    assert.match(world.message('Ready'), /kubectl create serviceaccount api -n web$/);
    world.store.upsert(serviceAccount());
    await world.rest();
    assert.equal(world.conditions()[0], 'Ready: False ProviderNotFound');
    world.store.upsert(provider());
    await world.rest();
    assert.deepEqual(world.conditions(), readyConditions);
    assert.deepEqual(world.events.take(), [
      'Warning ServiceAccountNotFound',
      'Warning ProviderNotFound',
      'Normal Ready',
    ]);
    assert.deepEqual(world.verifier.asked, ['web/api']);
  });

  it('takes Ready back before anything else on a new generation', async () => {
    const world = await new World(...base, binding()).start();
    world.writer.statuses.splice(0);
    world.store.upsert({ ...binding({ metadata: { generation: 2 } }), status: world.status() ?? {} });
    await world.rest();
    const readies = world.writer.statuses.map((status) => {
      const [ready] =
        'conditions' in status && Array.isArray(status.conditions) ? (status.conditions as unknown[]) : [];
      return JSON.stringify(ready, ['type', 'status', 'reason', 'observedGeneration']);
    });
    assert.deepEqual(readies.slice(0, 1), [
      '{"type":"Ready","status":"Unknown","reason":"Pending","observedGeneration":2}',
    ]);
    assert.deepEqual(world.conditions(), readyConditions);
    assert.equal(world.status()?.observedGeneration, 2);
  });

  it('waits for connected nodes only, and names those that reject', async () => {
    const world = new World(...base, binding(), pod());
    const on = (state: Parameters<typeof world.programming.set>[1]) => {
      world.programming.set('wib-web-api', state);
      return world.rest();
    };
    await world.start();
    await on({ desired: 3, programmed: 1, disconnected: ['n3'] });
    assert.equal(world.conditions()[0], 'Ready: Unknown NodesPending');
    assert.ok(world.conditions().includes('Reconciling: True NodesPending'));
    await on({ desired: 3, programmed: 2, disconnected: ['n3'] });
    assert.deepEqual(world.conditions()[2], 'Programmed: True Programmed');
    await on({ desired: 3, programmed: 1, rejected: [{ node: 'n2', reason: 'too long' }], disconnected: ['n3'] });
    assert.equal(world.conditions()[0], 'Ready: False NodesRejected');
    assert.equal(world.message('Programmed'), 'Rejected by n2 (too long).');
    assert.deepEqual(world.status()?.nodes, { desired: 3, programmed: 1, summary: '1/3' });
  });

  it('counts workloads, at most every 10 s', async () => {
    const world = await new World(...base, binding()).start();
    await world.timers.advance(20_000);
    world.takeCalls();
    world.store.upsert(pod());
    await world.rest();
    assert.equal(world.status()?.workloads, 1);
    for (const name of ['p1', 'p2', 'p3']) {
      world.store.upsert(pod({ name }));
      await world.rest();
    }
    world.store.upsert(pod({ name: 'done', phase: 'Succeeded' }));
    assert.deepEqual(world.takeCalls(), [statusCall]);
    await world.timers.advance(10_000);
    assert.deepEqual(world.takeCalls(), [statusCall]);
    assert.equal(world.status()?.workloads, 4);
  });

  it('that is suspended says so and is not verified', async () => {
    const world = await new World(...base, binding({ spec: { suspend: true } })).start();
    assert.deepEqual(world.conditions(), [
      'Ready: False Suspended',
      'Accepted: True Accepted',
      'Programmed: True Suspended',
      'CredentialsVerified: Unknown Suspended',
      'Stalled: True Suspended',
    ]);
    assert.deepEqual(world.verifier.asked, []);
  });

  it('names in an event the disconnected nodes that keep an identity that changes or goes', async () => {
    const world = new World(...base, binding());
    world.programming.set('wib-web-api', { desired: 2, programmed: 1, disconnected: ['n2'] });
    await world.start();
    world.events.recorded.splice(0);
    world.store.upsert({
      ...binding({ metadata: { generation: 2 }, spec: { suspend: true } }),
      status: world.status() ?? {},
    });
    await world.rest();
    assert.deepEqual(world.events.take(), ['Warning Suspended', 'Warning NodesDisconnected']);
    world.store.remove('WorkloadIdentityBinding', 'web/api');
    await world.rest();
    assert.deepEqual(
      world.events.recorded.map(({ about, event }) => `${about} ${event.message}`),
      ['web/api Nodes without a connected proxy serve what they hold until it expires: n2.'],
    );
  });

  it('is written again if the write failed, and reported once per failure', async () => {
    const world = new World(...base, binding());
    world.writer.fails = new MetaveilError('kubernetes-unavailable', 'no');
    await world.start();
    await world.timers.advance(1_000);
    assert.equal(world.failures.length, 1);
    assert.deepEqual(world.conditions(), readyConditions);
  });

  it('does not write a transition twice while the watch is behind', async () => {
    const world = new World(...base, binding());
    world.writer.echoes = false;
    await world.start();
    world.takeCalls();
    world.programming.set('wib-web-api', {});
    await world.rest();
    assert.deepEqual(world.takeCalls(), []);
  });
});

describe('verification of a binding', () => {
  const denied = { kind: 'permission-denied', reason: 'IAM said no.' } as const;

  it('is pending until the first exchange has ended', async () => {
    const world = new World(...base, binding());
    const exchange = Promise.withResolvers<{ readonly kind: 'verified' }>();
    world.verifier.answer = () => exchange.promise;
    await world.start();
    assert.deepEqual(
      world.conditions().filter((each) => !each.startsWith('Accepted') && !each.startsWith('Programmed')),
      [
        'Ready: Unknown VerificationPending',
        'CredentialsVerified: Unknown VerificationPending',
        'Reconciling: True VerificationPending',
      ],
    );
    exchange.resolve({ kind: 'verified' });
    await world.rest();
    assert.deepEqual(world.conditions(), readyConditions);
  });

  it("that fails carries Google's reason and the command that fixes it", async () => {
    const world = new World(...base, binding());
    world.verifier.answer = () => denied;
    await world.start();
    assert.equal(world.conditions()[0], 'Ready: False PermissionDenied');
    assert.match(world.message('Ready'), /^IAM said no\. To fix it, run: gcloud iam service-accounts /);
    assert.match(world.message('Ready'), /--member=principal:\/\/iam\.googleapis\.com\/.*:web:api$/);
    assert.deepEqual(world.events.take(), ['Warning PermissionDenied']);
  });

  it('is repeated sooner after a failure, and the binding recovers', async () => {
    const world = new World(...base, binding());
    world.verifier.answer = () => denied;
    await world.start();
    world.verifier.answer = () => ({ kind: 'verified' });
    await world.timers.advance(20_000);
    assert.deepEqual(world.conditions(), readyConditions);
  });

  it('tells the provider when Google accepted a token', async () => {
    const world = await new World(...base, binding()).start();
    assert.equal(typeof world.acceptances.lastAt('default'), 'number');
  });

  it('refused later for lack of permission changes the epoch, with an event', async () => {
    const world = await new World(...base, binding()).start();
    world.events.take();
    world.verifier.answer = () => denied;
    await world.timers.advance(7_200_000);
    assert.equal(world.conditions()[0], 'Ready: False PermissionDenied');
    assert.deepEqual(world.events.take(), ['Warning PermissionDenied', 'Warning TokensDropped']);
  });

  it('that cannot be done later changes nothing', async () => {
    const world = await new World(...base, binding()).start();
    world.events.take();
    world.takeCalls();
    world.verifier.answer = () => ({ kind: 'unavailable', reason: 'timeout' });
    await world.timers.advance(7_200_000);
    assert.ok(world.verifier.asked.length > 2);
    assert.deepEqual(world.conditions(), readyConditions);
    assert.deepEqual(world.takeCalls(), []);
    assert.deepEqual(world.events.take(), []);
  });

  it('that never could be done leaves Ready unknown', async () => {
    const world = new World(...base, binding());
    world.verifier.answer = () => ({ kind: 'unavailable', reason: 'no route' });
    await world.start();
    assert.equal(world.conditions()[0], 'Ready: Unknown VerificationUnavailable');
    assert.equal(world.message('CredentialsVerified'), 'Google could not be asked: no route');
  });

  it('of the last generation says nothing about this one', async () => {
    const world = await new World(...base, binding()).start();
    world.verifier.answer = () => new Promise(() => undefined);
    world.store.upsert({
      ...binding({
        metadata: { generation: 2 },
        spec: { googleServiceAccount: 'b@my-project.iam.gserviceaccount.com' },
      }),
      status: world.status() ?? {},
    });
    await world.rest();
    assert.equal(world.conditions()[0], 'Ready: Unknown VerificationPending');
  });

  it('is no hurry after a restart for what was verified before', async () => {
    const world = await new World(...base, binding()).start();
    await world.restart();
    assert.deepEqual(world.verifier.asked, ['web/api']);
    await world.timers.advance(300_000);
    assert.deepEqual(world.verifier.asked, ['web/api', 'web/api']);
  });

  it('is done anew when the provider changes', async () => {
    const world = await new World(...base, binding()).start();
    world.store.upsert(provider({ metadata: { generation: 2 }, spec: { audience: 'other' } }));
    await world.rest();
    assert.deepEqual(world.verifier.asked, ['web/api', 'web/api']);
  });
});

describe('a binding on GKE', () => {
  const onGke = [namespace(), serviceAccount(), gkeProvider()];
  const email = 'api@my-project.iam.gserviceaccount.com';
  const written = `applyUnforced ServiceAccount web/api ${email}`;
  const givenBack = 'applyUnforced ServiceAccount web/api -';
  const annotation = (world: World) => world.store.serviceAccount('web', 'api')?.gkeServiceAccount;
  const annotationCalls = (world: World) => world.takeCalls().filter((call) => call.startsWith('applyUnforced'));

  it('writes the annotation and is Ready without an exchange of its own', async () => {
    const world = await new World(...onGke, binding()).start();
    assert.deepEqual(world.conditions(), [
      'Ready: True Ready',
      'Accepted: True Accepted',
      'Programmed: True Managed',
      'CredentialsVerified: Unknown Managed',
    ]);
    assert.deepEqual(annotationCalls(world), [written]);
    assert.equal(annotation(world), email);
    assert.deepEqual(world.verifier.asked, []);
  });

  it('takes the annotation away with the binding', async () => {
    const world = await new World(...onGke, binding()).start();
    world.takeCalls();
    world.store.remove('WorkloadIdentityBinding', 'web/api');
    await world.rest();
    assert.deepEqual(annotationCalls(world), [givenBack]);
    assert.equal(annotation(world), '');
  });

  it('takes it away after a restart too, when the binding went while nobody looked', async () => {
    const world = await new World(...onGke, serviceAccount({ gkeServiceAccount: email })).start();
    assert.deepEqual(annotationCalls(world), [givenBack]);
    assert.equal(annotation(world), '');
  });

  it("leaves somebody else's annotation alone, and asks for it only once", async () => {
    const world = new World(...onGke, serviceAccount({ gkeServiceAccount: 'other@x.iam.gserviceaccount.com' }));
    world.writer.owners.set('web/api', 'kubectl');
    await world.start();
    assert.deepEqual(annotationCalls(world), [givenBack]);
    assert.equal(annotation(world), 'other@x.iam.gserviceaccount.com');
    world.store.upsert(namespace('web', { changed: 'true' }));
    await world.timers.advance(120_000);
    assert.deepEqual(annotationCalls(world), []);
  });

  it('reports a conflict, and tries again later', async () => {
    const world = new World(
      ...onGke,
      serviceAccount({ gkeServiceAccount: 'other@x.iam.gserviceaccount.com' }),
      binding(),
    );
    world.writer.owners.set('web/api', 'kubectl');
    await world.start();
    assert.equal(world.conditions()[0], 'Ready: False AnnotationConflict');
    assert.match(world.message('Programmed'), /conflict with "kubectl"/);
    assert.deepEqual(annotationCalls(world), [written]);
    world.writer.owners.clear();
    await world.timers.advance(61_000);
    assert.equal(world.conditions()[0], 'Ready: True Ready');
  });

  it('takes back what it wrote even if it had let go of the same value before', async () => {
    const world = await new World(...onGke, serviceAccount({ gkeServiceAccount: email })).start();
    world.store.upsert(binding());
    await world.rest();
    assert.equal(annotation(world), email);
    world.store.remove('WorkloadIdentityBinding', 'web/api');
    await world.rest();
    assert.equal(annotation(world), '');
  });

  it('needs no annotation with access Direct', async () => {
    const world = await new World(...onGke, binding({ spec: { access: 'Direct' } })).start();
    assert.equal(world.conditions()[0], 'Ready: True Ready');
    assert.deepEqual(annotationCalls(world), []);
  });

  it("asks for somebody else's annotation only once with access Direct too", async () => {
    const foreign = serviceAccount({ gkeServiceAccount: 'other@x.iam.gserviceaccount.com' });
    const world = new World(...onGke, foreign, binding({ spec: { access: 'Direct' } }));
    world.writer.owners.set('web/api', 'kubectl');
    await world.start();
    assert.deepEqual(annotationCalls(world), [givenBack]);
    world.store.upsert(pod());
    await world.rest();
    assert.deepEqual(annotationCalls(world), []);
  });

  it('touches no annotation where no GKE provider exists', async () => {
    const world = await new World(...base, serviceAccount({ gkeServiceAccount: email })).start();
    assert.deepEqual(world.takeCalls(), []);
  });
});
