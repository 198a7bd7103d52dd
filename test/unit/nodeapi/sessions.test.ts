/** Watches with fake streams: what is sent when, and when a watch ends. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ContentHash, PodUid } from '../../../operator/core/brand.ts';
import type { ProxyCaller } from '../../../operator/nodeapi/server/caller.ts';
import { Programming } from '../../../operator/nodeapi/server/programming.ts';
import type { FrameStream } from '../../../operator/nodeapi/server/session.ts';
import { WatchSessions } from '../../../operator/nodeapi/server/sessions.ts';
import type { WatchSessionsOptions } from '../../../operator/nodeapi/server/sessions.ts';
import { FakeTimers } from '../../fakes/timers.ts';
import { bindingView, policy, settings, snapshot, workload } from './resources.ts';
import { FakePods, FakeSnapshots, Lines } from './world.ts';

interface Frame {
  readonly type: string;
  readonly reason?: string;
  readonly version?: string;
  readonly from?: string;
  readonly to?: string;
  readonly upserts?: readonly { readonly key: string }[];
  readonly removals?: readonly string[];
}

class FakeStream implements FrameStream {
  readonly frames: Frame[] = [];
  full = false;
  state: 'open' | 'ended' | 'destroyed' = 'open';

  write(text: string): boolean {
    this.frames.push(JSON.parse(text) as Frame);
    return !this.full;
  }

  end(text: string): void {
    this.write(text);
    this.state = 'ended';
  }

  destroy(): void {
    this.state = 'destroyed';
  }

  get types(): string[] {
    return this.frames.map(({ type }) => type);
  }
}

function world(overrides: Partial<WatchSessionsOptions> = {}) {
  const clock = new FakeTimers();
  const pods = new FakePods();
  const snapshots = new FakeSnapshots();
  const programming = new Programming();
  const log = new Lines();
  const readiness = { report: () => undefined };
  const sessions = new WatchSessions({ clock, pods, snapshots, programming, log, readiness, ...overrides });
  const callerOf = (uid: string, node: string, lifetimeMs = 3_600_000): ProxyCaller => {
    pods.add(uid, node);
    const pod = pods.find(uid as PodUid);
    assert.ok(pod);
    return { kind: 'proxy', pod, credentialExpiresAt: clock.now() + lifetimeMs };
  };
  const open = (caller: ProxyCaller, resume?: ContentHash) => {
    const stream = new FakeStream();
    const watch = sessions.open({ caller, stream, protocol: 1, resume });
    return { stream, watch };
  };
  return { clock, pods, snapshots, programming, log, sessions, callerOf, open };
}

const none = { nacks: [], ready: true };

describe('what a watch sends', () => {
  it('hello and the snapshot, then deltas of its own node only', () => {
    const { snapshots, callerOf, open } = world();
    const first = snapshots.set('node-a', settings('node-a'), workload('alpha'));
    const { stream } = open(callerOf('proxy-a', 'node-a'));
    snapshots.set('node-b', settings('node-b'));
    const second = snapshots.set('node-a', settings('node-a'), policy('hide'));
    assert.deepEqual(stream.types, ['hello', 'snapshot', 'delta']);
    const { from, to, upserts, removals } = stream.frames[2] ?? {};
    assert.deepEqual([from, to], [first.version, second.version]);
    assert.deepEqual(
      upserts?.map(({ key }) => key),
      ['policy/policy-hide'],
    );
    assert.deepEqual(removals, ['workload/pod-alpha']);
  });

  it('an empty delta to who has the version already, everything to who has another', () => {
    const { snapshots, callerOf, open } = world();
    const { version } = snapshots.set('node-a', settings('node-a'));
    assert.deepEqual(open(callerOf('proxy-a', 'node-a'), version).stream.frames[1], {
      type: 'delta',
      from: version,
      to: version,
      upserts: [],
      removals: [],
    });
    assert.deepEqual(open(callerOf('proxy-a2', 'node-a'), 'ff' as ContentHash).stream.types, ['hello', 'snapshot']);
  });

  it('nothing while the node has no snapshot, and nothing twice', () => {
    const { snapshots, callerOf, open } = world();
    const { stream } = open(callerOf('proxy-a', 'node-a'));
    assert.deepEqual(stream.types, ['hello']);
    snapshots.set('node-a', settings('node-a'));
    snapshots.set('node-a', settings('node-a'));
    assert.deepEqual(stream.types, ['hello', 'snapshot']);
  });

  it('to both instances of a node during a surge', () => {
    const { snapshots, callerOf, open } = world();
    const streams = ['old', 'new'].map((uid) => open(callerOf(uid, 'node-a')).stream);
    snapshots.set('node-a', settings('node-a'));
    for (const stream of streams) assert.deepEqual(stream.types, ['hello', 'snapshot']);
  });

  it('a heartbeat every 10 s', () => {
    const { clock, callerOf, open } = world();
    const { stream } = open(callerOf('proxy-a', 'node-a'));
    clock.jump(9000);
    assert.deepEqual(stream.types, ['hello']);
    clock.jump(21_000);
    assert.deepEqual(stream.types, ['hello', 'heartbeat', 'heartbeat', 'heartbeat']);
  });
});

describe('a slow consumer', () => {
  it('is sent nothing while it takes nothing, and one delta afterwards', () => {
    const { clock, snapshots, callerOf, open } = world();
    const first = snapshots.set('node-a', settings('node-a'));
    const { stream, watch } = open(callerOf('proxy-a', 'node-a'));
    stream.full = true;
    snapshots.set('node-a', settings('node-a'), workload('w0'));
    for (let change = 1; change < 100; change += 1) snapshots.set('node-a', settings('node-a'), workload(`w${change}`));
    clock.jump(12_000);
    assert.deepEqual(stream.types, ['hello', 'snapshot', 'delta']);
    stream.full = false;
    watch?.drained();
    assert.deepEqual(stream.types, ['hello', 'snapshot', 'delta', 'delta']);
    assert.notEqual(stream.frames[3]?.from, first.version);
    assert.equal(stream.frames[3]?.to, snapshots.snapshotOf('node-a')?.version);
    assert.deepEqual(
      stream.frames[3]?.upserts?.map(({ key }) => key),
      ['workload/pod-w99'],
    );
  });

  it('is cut after 15 s, others are not', () => {
    const { clock, snapshots, sessions, log, callerOf, open } = world();
    const { stream } = open(callerOf('proxy-a', 'node-a'));
    const other = open(callerOf('proxy-b', 'node-b')).stream;
    stream.full = true;
    snapshots.set('node-a', settings('node-a'));
    clock.jump(14_000);
    assert.equal(stream.state, 'open');
    clock.jump(2000);
    assert.deepEqual([stream.state, other.state, sessions.size], ['destroyed', 'open', 1]);
    assert.equal(log.of('nodeapi-watch-closed')[0]?.['reason'], 'too slow');
  });

  it('a snapshot beyond the bound of a frame is not sent', () => {
    const { snapshots, callerOf, open, log } = world();
    const { stream } = open(callerOf('proxy-a', 'node-a'));
    const huge = policy('huge', { name: 'x'.repeat(9 * 1024 * 1024) });
    snapshots.set('node-a', settings('node-a'), huge);
    assert.deepEqual([stream.types, stream.state], [['hello'], 'destroyed']);
    assert.equal(log.of('nodeapi-watch-closed')[0]?.['reason'], 'snapshot too large');
  });
});

describe('a watch ends', () => {
  it('with the credential it was opened with, politely', () => {
    const { clock, callerOf, open, sessions } = world();
    const { stream } = open(callerOf('proxy-a', 'node-a', 5000));
    clock.jump(5000);
    assert.deepEqual([stream.state, stream.frames.at(-1)?.reason, sessions.size], ['ended', 'credential-due', 0]);
  });

  it('when nothing is acknowledged for 30 s: a machine without power closes no connection', () => {
    const { clock, snapshots, programming, callerOf, open, sessions, log } = world();
    const [dead, alive] = [callerOf('proxy-a', 'node-a'), callerOf('proxy-b', 'node-b')];
    const streams = [open(dead), open(alive)].map(({ stream }) => stream);
    for (const node of ['node-a', 'node-b']) snapshots.set(node, policy('hide'));
    clock.jump(20_000);
    const again = snapshots.set('node-b', policy('hide', { generation: 2 }));
    sessions.acknowledge(alive, { version: again.version, ...none });
    clock.jump(10_000);
    assert.deepEqual(
      streams.map(({ state }) => state),
      ['destroyed', 'open'],
    );
    assert.equal(log.of('nodeapi-watch-closed')[0]?.['reason'], 'no acknowledgement');
    assert.deepEqual(programming.programming('policy-hide', 1).disconnected, ['node-a']);
    clock.jump(60_000);
    assert.equal(streams[1]?.state, 'open');
  });

  it('when its pod is gone', () => {
    const { pods, callerOf, open } = world();
    const { stream } = open(callerOf('proxy-a', 'node-a'));
    pods.remove('proxy-a');
    assert.equal(stream.state, 'destroyed');
  });

  it('when the same instance opens another, which lives on although the first closes later', () => {
    const { snapshots, callerOf, open, sessions } = world();
    const caller = callerOf('proxy-a', 'node-a');
    const first = open(caller);
    const second = open(caller);
    assert.deepEqual([first.stream.state, second.stream.state], ['destroyed', 'open']);
    first.watch?.closed();
    snapshots.set('node-a', settings('node-a'));
    assert.deepEqual([sessions.size, second.stream.types], [1, ['hello', 'snapshot']]);
  });

  it('when another replica leads, which it names', () => {
    const { callerOf, open, sessions } = world();
    const { stream } = open(callerOf('proxy-a', 'node-a'));
    sessions.endAll('not-leader', '10.0.0.9:8443');
    assert.deepEqual(stream.frames.at(-1), { type: 'bye', reason: 'not-leader', leader: '10.0.0.9:8443' });
  });

  it('and nothing is sent to it afterwards', () => {
    const { clock, snapshots, callerOf, open, sessions } = world();
    const { stream } = open(callerOf('proxy-a', 'node-a'));
    sessions.stop();
    const sent = stream.frames.length;
    snapshots.set('node-a', settings('node-a'));
    clock.jump(60_000);
    assert.equal(stream.frames.length, sent);
    assert.deepEqual(clock.pending(), []);
  });

  it('before it begins when there are too many', () => {
    const { callerOf, open } = world({ maxSessions: 1 });
    assert.ok(open(callerOf('proxy-a', 'node-a')).watch);
    assert.equal(open(callerOf('proxy-b', 'node-b')).watch, undefined);
    assert.ok(open(callerOf('proxy-a', 'node-a')).watch, 'the own one is replaced');
  });
});

describe('an acknowledgement', () => {
  it('counts for the version it names, not for what was sent since', () => {
    const { snapshots, programming, callerOf, open, sessions } = world();
    const caller = callerOf('proxy-a', 'node-a');
    const first = snapshots.set('node-a', policy('hide'));
    open(caller);
    const second = snapshots.set('node-a', policy('hide', { generation: 2 }));
    sessions.acknowledge(caller, { version: first.version, ...none });
    assert.equal(programming.programming('policy-hide', 2).programmed, 0);
    sessions.acknowledge(caller, { version: second.version, ...none });
    assert.equal(programming.programming('policy-hide', 2).programmed, 1);
  });

  it('that comes late does not undo a newer one', () => {
    const { snapshots, programming, callerOf, open, sessions } = world();
    const caller = callerOf('proxy-a', 'node-a');
    const first = snapshots.set('node-a', policy('hide'));
    open(caller);
    const second = snapshots.set('node-a', policy('hide', { generation: 2 }));
    for (const { version } of [second, first]) sessions.acknowledge(caller, { version, ...none });
    assert.equal(programming.programming('policy-hide', 2).programmed, 1);
  });

  it('of a version that was never sent, or was sent to others, changes nothing', () => {
    const { snapshots, programming, callerOf, open, sessions } = world();
    const caller = callerOf('proxy-a', 'node-a');
    snapshots.set('node-a', policy('hide'));
    const ofB = snapshots.set('node-b', settings('node-b'));
    open(caller);
    for (const version of [ofB.version, snapshot().version]) sessions.acknowledge(caller, { version, ...none });
    assert.equal(programming.programming('policy-hide', 1).programmed, 0);
  });

  it('with a NACK counts as rejected, with its reason, until the next one', () => {
    const { snapshots, programming, callerOf, open, sessions, log } = world();
    const caller = callerOf('proxy-a', 'node-a');
    const bound = workload('alpha', bindingView('alpha'));
    const { version, resources } = snapshots.set('node-a', bound);
    open(caller);
    const hash = resources.get('workload/pod-alpha')?.hash ?? ('' as ContentHash);
    const nacks = [{ key: 'workload/pod-alpha', hash, reason: 'no' }] as const;
    sessions.acknowledge(caller, { version, nacks, ready: true });
    assert.deepEqual(programming.programming('binding-alpha', 1).rejected, [{ node: 'node-a', reason: 'no' }]);
    assert.equal(log.of('resource-refused')[0]?.['name'], 'workload/pod-alpha');
    sessions.acknowledge(caller, { version, ...none });
    assert.equal(programming.programming('binding-alpha', 1).programmed, 1);
  });
});
