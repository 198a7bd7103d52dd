import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LegacyEvents } from '../../../../operator/controllers/decisions/legacy-events.ts';
import { endpointNames } from '../../../../operator/core/request/endpoints.ts';
import { FakeEvents } from '../../../fakes/controllers.ts';
import { FakeTimers } from '../../../fakes/timers.ts';
import { legacy, workload } from './counts.ts';

function told() {
  const events = new FakeEvents();
  const timers = new FakeTimers();
  const legacyEvents = new LegacyEvents({ events, clock: timers });
  return { events, timers, legacyEvents };
}

describe('legacy events', () => {
  it('are on the pod, say what was asked and what came of it, and name the v1 path', () => {
    const { events, legacyEvents } = told();
    legacyEvents.record(legacy({ endpoint: 'instance/service-accounts/default/token' }));
    legacyEvents.record(legacy({ access: 'allowed' }));
    legacyEvents.record(legacy({ endpoint: 'other' }));
    legacyEvents.record(legacy({ endpoint: '/' }));
    assert.deepEqual(events.recorded, [
      {
        about: 'web/api-0',
        event: {
          type: 'Warning',
          reason: 'LegacyMetadataEndpoint',
          message:
            'Asked a legacy metadata API (0.1 or v1beta1) for instance/service-accounts/default/token, which is denied. Use /computeMetadata/v1/instance/service-accounts/default/token with the header "Metadata-Flavor: Google" instead.',
        },
      },
      {
        about: 'web/api-0',
        event: {
          type: 'Normal',
          reason: 'LegacyMetadataEndpoint',
          message:
            'Asked a legacy metadata API (0.1 or v1beta1) for instance/id, which is allowed for now. Use /computeMetadata/v1/instance/id with the header "Metadata-Flavor: Google" instead.',
        },
      },
      {
        about: 'web/api-0',
        event: {
          type: 'Warning',
          reason: 'LegacyMetadataEndpoint',
          message:
            'Asked a legacy metadata API (0.1 or v1beta1) for an endpoint, which is denied. Use the same path below /computeMetadata/v1/ with the header "Metadata-Flavor: Google" instead.',
        },
      },
      {
        about: 'web/api-0',
        event: {
          type: 'Warning',
          reason: 'LegacyMetadataEndpoint',
          message:
            'Asked a legacy metadata API (0.1 or v1beta1) for the root, which is denied. Use /computeMetadata/v1/ with the header "Metadata-Flavor: Google" instead.',
        },
      },
    ]);
  });

  it('are one per pod and endpoint in an hour, however often it asks', async () => {
    const { events, timers, legacyEvents } = told();
    for (let second = 0; second < 3599; second += 5) {
      legacyEvents.record(legacy());
      await timers.advance(5_000);
    }
    assert.equal(events.recorded.length, 1);
    await timers.advance(5_000);
    legacyEvents.record(legacy());
    assert.equal(events.recorded.length, 2);
  });

  it('are few at once, whatever pods do, and one namespace does not use up those of others', async () => {
    const { events, timers, legacyEvents } = told();
    for (let pod = 0; pod < 100; pod += 1)
      for (const endpoint of endpointNames)
        legacyEvents.record(legacy({ workload: workload(`noisy-${pod}`, 'noisy'), endpoint }));
    assert.equal(events.recorded.length, 20);
    legacyEvents.record(legacy());
    assert.equal(events.recorded.at(-1)?.about, 'web/api-0');
    for (let namespace = 0; namespace < 1000; namespace += 1)
      legacyEvents.record(legacy({ workload: workload('api-0', `team-${namespace}`) }));
    assert.equal(events.recorded.length, 100);
    await timers.advance(60_000);
    // What there was no room for is told when it is counted again.
    for (let namespace = 0; namespace < 1000; namespace += 1)
      legacyEvents.record(legacy({ workload: workload('api-0', `team-${namespace}`) }));
    assert.equal(events.recorded.length, 160);
  });
});
