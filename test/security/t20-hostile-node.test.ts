/** T20 from a node that was broken into: what it says of policies is shown in their status, as text. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { PodUid } from '../../operator/core/brand.ts';
import { programmedAspect } from '../../operator/controllers/status-plan.ts';
import { Programming } from '../../operator/nodeapi/server/programming.ts';
import { WatchSessions } from '../../operator/nodeapi/server/sessions.ts';
import { FakeTimers } from '../fakes/timers.ts';
import { policy, settings } from '../unit/nodeapi/resources.ts';
import { FakePods, FakeSnapshots, Lines } from '../unit/nodeapi/world.ts';

it('T20: the reason why a node rejects a policy has no terminal escapes, line breaks or credentials in the status', () => {
  const pods = new FakePods();
  const snapshots = new FakeSnapshots();
  const programming = new Programming();
  const readiness = { report: () => undefined };
  const clock = new FakeTimers();
  const sessions = new WatchSessions({ clock, pods, snapshots, programming, log: new Lines(), readiness });
  pods.add('proxy-a', 'node-a');
  const pod = pods.find('proxy-a' as PodUid);
  assert.ok(pod !== undefined);
  const { version, resources } = snapshots.set('node-a', settings('node-a'), policy('hide'));
  const hash = resources.get('policy/policy-hide')?.hash;
  assert.ok(hash !== undefined);
  const caller = { kind: 'proxy', pod, credentialExpiresAt: clock.now() + 3_600_000 } as const;
  const stream = { write: () => true, end: () => undefined, destroy: () => undefined };
  sessions.open({ caller, stream, protocol: 1, resume: undefined });
  const reason = 'no\u001b[2J\nReady=True\u202e eyJhbGciOiJub25lIn0.canary.sig';
  sessions.acknowledge(caller, { version, nacks: [{ key: 'policy/policy-hide', hash, reason }], ready: true });
  const { message, reason: code } = programmedAspect(programming.programming('policy-hide', 1), '');
  assert.equal(code, 'NodesRejected');
  assert.equal(message, 'Rejected by node-a (no\\u001b[2J\\u000aReady=True\\u202e [redacted]).');
  sessions.stop();
});
