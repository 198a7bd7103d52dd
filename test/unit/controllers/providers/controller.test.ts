import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MetaveilError } from '../../../../operator/core/errors.ts';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import { Acceptances } from '../../../../operator/controllers/providers/acceptances.ts';
import { ProviderController } from '../../../../operator/controllers/providers/controller.ts';
import { federationSettings } from '../../../../operator/controllers/providers/federation.ts';
import { ControllerRuntime } from '../../../../operator/controllers/runtime.ts';
import { gkeProvider, poolProvider, provider, storeOf } from '../../../builders/objects.ts';
import { FakeEvents, FakeWriter } from '../../../fakes/controllers.ts';
import { FakeTimers } from '../../../fakes/timers.ts';

const found = { issuer: 'https://kubernetes.default.svc', signingKeyIds: ['key-1', 'key-2'] };

function worldOf(...objects: readonly StoredObject[]) {
  const store = storeOf(...objects);
  const [timers, writer, events] = [new FakeTimers(), new FakeWriter(store), new FakeEvents()];
  const acceptances = new Acceptances();
  const discovery = { calls: 0, answer: () => Promise.resolve(found) };
  const start = async () => {
    const controller = new ProviderController({
      cluster: store,
      rules: { allowInsecureEndpoints: false },
      writer,
      events,
      discovery: {
        discover: () => {
          discovery.calls += 1;
          return discovery.answer();
        },
      },
      acceptances,
      clock: timers,
    });
    const onFailure = (_controller: string, _key: string, error: unknown) => {
      throw error;
    };
    const runtime = new ControllerRuntime(store, [controller], { timers, random: () => 1, onFailure });
    runtime.start();
    await timers.advance(100);
    return runtime;
  };
  const status = () => store.provider('default')?.status;
  const conditions = () => status()?.conditions?.map((each) => `${each.type}: ${each.status} ${each.reason}`);
  return { store, timers, writer, events, acceptances, discovery, start, status, conditions };
}

describe('a provider', () => {
  it('is Ready with usable endpoints, and names issuer and signing keys', async () => {
    const world = worldOf(provider());
    await world.start();
    assert.deepEqual(world.conditions(), ['Ready: True Ready', 'Accepted: True Accepted']);
    assert.equal(world.status()?.issuer, found.issuer);
    assert.deepEqual(world.status()?.signingKeyIds, ['key-1', 'key-2']);
    assert.equal(world.status()?.observedGeneration, 1);
    assert.deepEqual(world.events.take(), ['Normal Ready']);
  });

  it('writes nothing when nothing changed, also after a restart', async () => {
    const world = worldOf(provider());
    const runtime = await world.start();
    world.writer.calls.splice(0);
    await world.timers.advance(7_200_000);
    await runtime.stop();
    await world.start();
    assert.deepEqual(world.writer.calls, []);
    assert.deepEqual(world.events.take(), ['Normal Ready']);
  });

  it('with an http endpoint is not accepted until it is https', async () => {
    const world = worldOf(provider({ spec: { stsEndpoint: 'http://sts.example.com' } }));
    await world.start();
    assert.deepEqual(world.conditions(), [
      'Ready: False EndpointNotAllowed',
      'Accepted: False EndpointNotAllowed',
      'Stalled: True EndpointNotAllowed',
    ]);
    const fixed = provider({ metadata: { generation: 2 }, spec: { stsEndpoint: 'https://sts.example.com' } });
    world.store.upsert({ ...fixed, status: world.status() ?? {} });
    await world.timers.advance(100);
    assert.deepEqual(world.conditions(), ['Ready: True Ready', 'Accepted: True Accepted']);
    assert.deepEqual(world.events.take(), ['Warning EndpointNotAllowed', 'Normal Ready']);
  });

  it('keeps issuer and keys while the API server does not tell, and asks again', async () => {
    const world = worldOf(provider());
    world.discovery.answer = () => Promise.reject(new MetaveilError('kubernetes-unavailable', 'no'));
    await world.start();
    assert.equal(world.conditions()?.[0], 'Ready: True Ready');
    assert.equal(world.status()?.issuer, undefined);
    world.discovery.answer = () => Promise.resolve(found);
    await world.timers.advance(60_000);
    assert.equal(world.status()?.issuer, found.issuer);
    world.discovery.answer = () => Promise.reject(new MetaveilError('kubernetes-unavailable', 'no'));
    await world.timers.advance(7_200_000);
    assert.equal(world.status()?.issuer, found.issuer);
  });

  it('notices new signing keys', async () => {
    const world = worldOf(provider());
    await world.start();
    world.discovery.answer = () => Promise.resolve({ ...found, signingKeyIds: ['key-3'] });
    await world.timers.advance(620_000);
    assert.deepEqual(world.status()?.signingKeyIds, ['key-3']);
  });

  it('says when Google last accepted a token, at most hourly', async () => {
    const world = worldOf(provider());
    await world.start();
    await world.timers.advance(20_000);
    const accept = async () => {
      world.acceptances.record('default', world.timers.now());
      await world.timers.advance(100);
      return world.status()?.lastAcceptedTime;
    };
    assert.equal(await accept(), '2026-06-01T00:00:20Z');
    await world.timers.advance(3_500_000);
    assert.equal(await accept(), '2026-06-01T00:00:20Z');
    await world.timers.advance(100_000);
    assert.equal(await accept(), '2026-06-01T01:00:20Z');
  });

  it('of GKE is Ready without an issuer to compare', async () => {
    const world = worldOf(gkeProvider());
    await world.start();
    assert.deepEqual(world.conditions(), ['Ready: True Ready', 'Accepted: True Accepted']);
    assert.equal(world.status()?.issuer, undefined);
    assert.equal(world.discovery.calls, 0);
  });
});

describe('federationSettings', () => {
  it('derives the audience from the provider', () => {
    assert.deepEqual(federationSettings(provider()), {
      audience: `//iam.googleapis.com/${poolProvider}`,
      universeDomain: 'googleapis.com',
    });
  });

  it('takes what is given, and decodes the bundle', () => {
    const pem = `-----BEGIN CERTIFICATE-----\n${btoa('\x30\x03abc')}\n-----END CERTIFICATE-----\n`;
    const given = {
      audience: 'https://example.com',
      universeDomain: 'example.goog',
      stsEndpoint: 'https://sts.example.com',
      iamCredentialsEndpoint: 'https://iam.example.com',
    };
    const settings = federationSettings(provider({ spec: { ...given, caBundle: btoa(pem) } }));
    const exchangeAudience = `//iam.googleapis.com/${poolProvider}`;
    assert.deepEqual(settings, { ...given, exchangeAudience, caBundle: pem });
  });

  it('does not exist for GKE', () => {
    assert.equal(federationSettings(gkeProvider()), undefined);
  });
});
