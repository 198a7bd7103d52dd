import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addressOf, replicaIdentity } from '../../../../operator/adapters/kube/identity.ts';
import { LeaseElection } from '../../../../operator/adapters/kube/lease.ts';
import type { LeaseRecord, LeaseStore, StoredLease } from '../../../../operator/adapters/kube/lease-store.ts';
import { MetaveilError } from '../../../../operator/core/errors.ts';
import { FakeTimers, settle } from '../../../fakes/timers.ts';

/** A Lease with the API server's optimistic concurrency, and an outage on demand. */
class FakeLease implements LeaseStore {
  stored: StoredLease | undefined;
  down = false;
  /** Runs while a renewal is on its way. */
  onReplace: () => void = () => undefined;
  #version = 0;

  read(): Promise<StoredLease | undefined> {
    return this.#guard(() => this.stored);
  }

  create(record: LeaseRecord): Promise<void> {
    return this.#guard(() => {
      if (this.stored !== undefined) throw new MetaveilError('kubernetes-conflict', 'exists');
      this.#write(record);
    });
  }

  replace(previous: StoredLease, record: LeaseRecord): Promise<void> {
    return this.#guard(() => {
      this.onReplace();
      if (this.stored?.resourceVersion !== previous.resourceVersion) {
        throw new MetaveilError('kubernetes-conflict', 'changed');
      }
      this.#write(record);
    });
  }

  #write(record: LeaseRecord): void {
    this.#version += 1;
    this.stored = { record, resourceVersion: String(this.#version) };
  }

  async #guard<T>(act: () => T): Promise<T> {
    await Promise.resolve();
    if (this.down) throw new MetaveilError('kubernetes-unavailable', 'down');
    return act();
  }
}

interface Clocks {
  readonly timers: FakeTimers;
  /** Added to the monotonic clock: what passed while no timer ran. */
  asleepMs: number;
}

function elector(lease: LeaseStore, name: string, clocks: Clocks) {
  const roles: string[] = [];
  const failures: string[] = [];
  const election = new LeaseElection({
    store: lease,
    identity: replicaIdentity(name, 'x1', `${name}.example:8443`),
    timers: clocks.timers,
    monotonic: () => clocks.timers.now() + clocks.asleepMs,
    random: () => 0.5,
    onFailure: (error) => failures.push(error.code),
  });
  election.onChange(() => roles.push(election.role().kind));
  return { election, roles, failures };
}

function clocks(): Clocks {
  return { timers: new FakeTimers(), asleepMs: 0 };
}

/** Moves time in steps of half a second and lets everything that waits run. */
async function pass(ms: number, ...timers: FakeTimers[]): Promise<void> {
  for (let passed = 0; passed < ms; passed += 500) {
    for (const each of timers) each.jump(500);
    await new Promise(setImmediate);
  }
}

describe('Leader election', () => {
  it('makes one of two replicas the leader, and the other names it', async () => {
    const lease = new FakeLease();
    const time = clocks();
    const [a, b] = [elector(lease, 'a', time), elector(lease, 'b', time)];
    a.election.start();
    b.election.start();
    await settle();
    await pass(60_000, time.timers);
    assert.deepEqual(a.election.role(), { kind: 'leader' });
    assert.deepEqual(b.election.role(), { kind: 'follower', leader: 'a.example:8443' });
    assert.deepEqual(a.roles.filter((role) => role === 'leader').length, 1, 'renewals are no change');
    assert.equal(lease.stored?.record.transitions, 0);
    await Promise.all([a.election.stop(), b.election.stop()]);
  });

  it('hands over at once when the leader releases the Lease', async () => {
    const lease = new FakeLease();
    const time = clocks();
    const [a, b] = [elector(lease, 'a', time), elector(lease, 'b', time)];
    a.election.start();
    await settle();
    b.election.start();
    await settle();
    await a.election.stop();
    assert.equal(lease.stored?.record.holder, '');
    assert.equal(a.election.isLeader(), false);
    await pass(2_500, time.timers);
    assert.equal(b.election.isLeader(), true);
    assert.equal(lease.stored.record.transitions, 1);
    await b.election.stop();
  });

  it('takes over from a dead leader after the Lease has been still for 15 s, not before', async () => {
    const lease = new FakeLease();
    const [dead, alive] = [clocks(), clocks()];
    const [a, b] = [elector(lease, 'a', dead), elector(lease, 'b', alive)];
    a.election.start();
    await settle();
    b.election.start();
    await settle();
    await pass(14_500, alive.timers);
    assert.equal(b.election.isLeader(), false);
    await pass(3_000, alive.timers);
    assert.equal(b.election.isLeader(), true);
    await b.election.stop();
    await a.election.stop();
  });

  it('stops leading before anybody else can begin, when it cannot renew', async () => {
    const lease = new FakeLease();
    const [mine, others] = [clocks(), clocks()];
    const [a, b] = [elector(lease, 'a', mine), elector(lease, 'b', others)];
    a.election.start();
    await settle();
    b.election.start();
    await settle();
    lease.down = true;
    const stillLeading: number[] = [];
    for (let second = 1; second <= 20; second += 1) {
      await pass(1_000, mine.timers, others.timers);
      if (second === 16) lease.down = false;
      if (a.election.isLeader()) stillLeading.push(second);
      assert.equal(a.election.isLeader() && b.election.isLeader(), false, `two leaders in second ${second}`);
    }
    assert.deepEqual(
      stillLeading.filter((second) => second < 17),
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    assert.ok(a.failures.includes('kubernetes-unavailable'));
    await Promise.all([a.election.stop(), b.election.stop()]);
  });

  it('is no leader after the machine slept, even before any timer ran', async () => {
    const lease = new FakeLease();
    const time = clocks();
    const { election } = elector(lease, 'a', time);
    election.start();
    await settle();
    assert.equal(election.isLeader(), true);
    time.asleepMs = 10_000;
    assert.equal(election.isLeader(), false);
    await election.stop();
  });

  it('tells of the loss before it tells of leading again', async () => {
    const lease = new FakeLease();
    const time = clocks();
    const { election, roles } = elector(lease, 'a', time);
    election.start();
    await settle();
    time.asleepMs = 10_000;
    await pass(2_000, time.timers);
    assert.equal(election.isLeader(), true);
    assert.deepEqual(roles.slice(-2), ['follower', 'leader']);
    await election.stop();
  });

  it('tells of a loss that happened while a renewal was on its way', async () => {
    const lease = new FakeLease();
    const time = clocks();
    const { election, roles } = elector(lease, 'a', time);
    election.start();
    await settle();
    lease.onReplace = () => {
      time.asleepMs = 9_000;
      lease.onReplace = () => undefined;
    };
    await pass(2_000, time.timers);
    assert.equal(election.isLeader(), true);
    assert.deepEqual(roles.slice(-2), ['follower', 'leader']);
    assert.equal(roles.length, 4);
    await election.stop();
  });

  it('does not take its former self for itself', async () => {
    const lease = new FakeLease();
    const time = clocks();
    await lease.create({
      holder: replicaIdentity('a', 'x0', 'a.example:8443').text,
      durationSeconds: 15,
      transitions: 3,
      acquiredAt: 0,
      renewedAt: 0,
    });
    const { election } = elector(lease, 'a', time);
    election.start();
    await pass(14_500, time.timers);
    assert.equal(election.isLeader(), false);
    await pass(3_000, time.timers);
    assert.equal(election.isLeader(), true);
    assert.equal(lease.stored?.record.transitions, 4);
    await election.stop();
  });

  it('leaves a Lease alone that is no longer its own', async () => {
    const lease = new FakeLease();
    const time = clocks();
    const { election } = elector(lease, 'a', time);
    election.start();
    await settle();
    const mine = await lease.read();
    assert.ok(mine);
    const other = { ...mine.record, holder: 'b_x1@b.example:8443' };
    await lease.replace(mine, other);
    await election.stop();
    assert.equal(lease.stored?.record.holder, other.holder);
  });
});

describe("The holder's address", () => {
  for (const [holder, address] of [
    ['metaveil-controller-abc_1f@10.0.0.7:8443', '10.0.0.7:8443'],
    ['pod_1@[fd00::7]:8443', '[fd00::7]:8443'],
    ['pod_1@host.example:1', 'host.example:1'],
    ['somebody else', undefined],
    ['', undefined],
    ['pod@host', undefined],
    ['pod@host:0', undefined],
    ['pod@host:8443\r\nx: y', undefined],
    ['pod@http://evil:80/', undefined],
  ] as const) {
    it(`of ${JSON.stringify(holder)} is ${String(address)}`, () => assert.equal(addressOf(holder), address));
  }
});
