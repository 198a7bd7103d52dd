import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { MetaveilError } from '../../../operator/core/errors.ts';
import type { Workload } from '../../../operator/core/snapshot/types.ts';
import type { TokenRefusal, TokenWish } from '../../../operator/core/token/types.ts';
import { sweepMs, TokenBroker } from '../../../operator/proxy/broker.ts';
import { maxOtherTokens } from '../../../operator/proxy/owner-tokens.ts';
import { Workloads } from '../../../operator/proxy/workloads.ts';
import { silentLogger } from '../../../operator/telemetry/log.ts';
import { FakeTimers, settle } from '../../fakes/timers.ts';
import { binding, FakeSnapshots, FakeTokenSource, issued, workload } from './support.ts';

const usual: TokenWish = { kind: 'access', scopes: ['https://www.googleapis.com/auth/cloud-platform'] };
const scoped = (scope: string): TokenWish => ({ kind: 'access', scopes: [scope] });
const hour = 3_600_000;
const pod = workload('a', '10.0.0.1', binding('a'));
const sibling = workload('a2', '10.0.0.2', binding('a'), 'a');

let timers: FakeTimers;
let snapshots: FakeSnapshots;
let source: FakeTokenSource;
let broker: TokenBroker;

beforeEach(() => {
  timers = new FakeTimers();
  snapshots = new FakeSnapshots();
  source = new FakeTokenSource();
  broker = new TokenBroker(new Workloads(snapshots), { source, timers, random: () => 0.5, logger: silentLogger });
  broker.start();
});

afterEach(() => broker.close());

/** Issues tokens named by the order in which they were asked for, each valid for `lifetime`. */
function issuing(lifetime = hour): void {
  source.policy = () => issued(`token-${source.calls.length}`, timers.now() + lifetime);
}

function refusing(refusal: TokenRefusal): void {
  source.policy = () => ({ kind: 'refused', refusal });
}

async function tokenOf(workload: Workload, wish = usual): Promise<string> {
  const answer = await broker.token(workload, wish);
  return answer.kind === 'issued' ? answer.issued.token : answer.kind;
}

async function appear(...workloads: readonly Workload[]): Promise<void> {
  snapshots.set({ workloads });
  await settle();
}

describe('tokens that are held', () => {
  it('are fetched when the first pod of a ServiceAccount appears, also before it has an address', async () => {
    issuing();
    await appear(workload('a', '', binding('a')));
    assert.deepEqual(
      source.calls.map(({ workload: uid, wish }) => [uid, wish]),
      [['pod-a', usual]],
    );
  });

  it('are shared by the pods of one ServiceAccount and fetched once', async () => {
    issuing();
    await appear(pod, sibling);
    assert.deepEqual(await Promise.all([tokenOf(pod), tokenOf(sibling)]), ['token-1', 'token-1']);
    assert.equal(source.calls.length, 1);
  });

  it('of two bindings are never the same', async () => {
    issuing();
    const other = workload('b', '10.0.0.3', binding('b'));
    await appear(pod, other);
    assert.notEqual(await tokenOf(pod), await tokenOf(other));
  });

  it('of equally named ServiceAccounts in two namespaces are never the same', async () => {
    issuing();
    const twin: Workload = {
      ...workload('twin', '10.0.0.3', binding('a', { uid: 'binding-elsewhere' as never })),
      namespace: 'elsewhere',
    };
    await appear(pod, twin);
    assert.notEqual(await tokenOf(pod), await tokenOf(twin));
  });

  it('are fetched in single flight, whoever waits', async () => {
    await appear(pod, sibling);
    const waiting = [tokenOf(pod), tokenOf(sibling), tokenOf(pod)];
    assert.equal(source.calls.length, 1);
    source.calls[0]?.answer(issued('one', timers.now() + hour));
    assert.deepEqual(await Promise.all(waiting), ['one', 'one', 'one']);
  });

  it('are dropped, with what is under way, when the last pod is gone', async () => {
    await appear(pod);
    const waiting = tokenOf(pod);
    await appear();
    assert.equal(source.calls[0]?.signal.aborted, true);
    assert.equal(await waiting, 'refused');
    assert.equal(await tokenOf(pod), 'refused');
  });

  it('stay while one pod of several goes', async () => {
    issuing();
    await appear(pod, sibling);
    await appear(sibling);
    assert.equal(await tokenOf(sibling), 'token-1');
    assert.equal(source.calls.length, 1);
  });

  for (const change of [{ generation: 2 }, { epoch: 'later' }, { uid: 'recreated' as never }]) {
    it(`are dropped when the binding's ${Object.keys(change).join()} changes`, async () => {
      issuing();
      await appear(pod);
      const changed = workload('a', '10.0.0.1', binding('a', change));
      await appear(changed);
      assert.equal(await tokenOf(changed), 'token-2');
      assert.equal(await tokenOf(pod), 'refused');
    });
  }
});

describe('renewal', () => {
  it('happens in the background before 330 s remain, and no request waits for it', async () => {
    issuing();
    const start = timers.now();
    await appear(pod);
    await timers.advance(hour - 600_000);
    assert.deepEqual(
      source.calls.map((call) => call.workload),
      ['pod-a'],
    );
    source.policy = undefined;
    while (source.calls.length < 2) await timers.advance(sweepMs);
    assert.ok(timers.now() < start + hour - 330_000);
    assert.deepEqual(broker.token(pod, usual), {
      kind: 'issued',
      issued: { token: 'token-1', expiresAt: start + hour },
    });
    source.calls[1]?.answer(issued('renewed', timers.now() + hour));
    await settle();
    assert.equal(await tokenOf(pod), 'renewed');
    assert.equal(source.calls.length, 2);
  });

  it('is made in the name of a pod that still lives', async () => {
    issuing();
    await appear(pod, sibling);
    await appear(sibling);
    await timers.advance(hour - 300_000);
    assert.equal(source.calls.at(-1)?.workload, 'pod-a2');
  });

  it('is left out for tokens of other scopes that nobody used since they came', async () => {
    issuing();
    await appear(pod);
    await tokenOf(pod, scoped('used-once'));
    const asked = (): number =>
      source.calls.filter(({ wish }) => wish.kind === 'access' && wish.scopes[0] === 'used-once').length;
    await timers.advance(10 * hour);
    assert.equal(asked(), 2);
  });

  it('that fails leaves the token in service until its end, and says the time that really remains', async () => {
    issuing();
    await appear(pod);
    refusing({ kind: 'unavailable', retryAfterMs: 1_000 });
    await timers.advance(hour - 100_000);
    const answer = await broker.token(pod, usual);
    assert.deepEqual(answer, { kind: 'issued', issued: { token: 'token-1', expiresAt: timers.now() + 100_000 } });
    await timers.advance(100_000);
    assert.equal(await tokenOf(pod), 'refused');
  });

  it('that hangs delays a request by 1.5 s at most while the token is valid', async () => {
    issuing();
    await appear(pod);
    source.policy = undefined;
    await timers.advance(hour - 300_000);
    const waiting = tokenOf(pod);
    await timers.advance(1_500);
    assert.equal(await waiting, 'token-1');
  });

  it('that brings the same token again is not repeated for every request', async () => {
    issuing();
    await appear(pod);
    const expiresAt = timers.now() + hour;
    source.policy = () => issued('token-1', expiresAt);
    await timers.advance(hour - 200_000);
    const calls = source.calls.length;
    for (let request = 0; request < 50; request += 1) assert.equal(await tokenOf(pod), 'token-1');
    assert.ok(source.calls.length <= calls + 1);
  });

  it('that brings the same token by a shorter way does not make it fresh again', async () => {
    issuing();
    await appear(pod);
    const expiresAt = timers.now() + hour;
    source.policy = () => issued('token-1', expiresAt + source.calls.length);
    await timers.advance(hour - 250_000);
    issuing();
    await timers.advance(10_000);
    assert.notEqual(await tokenOf(pod), 'token-1');
  });

  for (const refusal of [{ kind: 'unbound' }, { kind: 'scope-not-allowed', scope: 'x' }] as const) {
    it(`that is refused with ${refusal.kind} ends the token that is held`, async () => {
      issuing();
      await appear(pod);
      refusing(refusal);
      await timers.advance(hour - 300_000);
      assert.equal(await tokenOf(pod), 'refused');
    });
  }

  it('that Google refuses once keeps the token: a revocation comes as a new epoch', async () => {
    issuing();
    await appear(pod);
    refusing({ kind: 'google-refused', status: 403, reason: 'denied' });
    await timers.advance(hour - 300_000);
    assert.equal(await tokenOf(pod), 'token-1');
  });
});

describe('fetches', () => {
  it('end after 10 s even if the controller never answers and ignores the signal', async () => {
    await appear(pod);
    const waiting = tokenOf(pod);
    await timers.advance(10_000);
    assert.equal(await waiting, 'refused');
    assert.equal(source.calls[0]?.signal.aborted, true);
  });

  it('that throw are a refusal that may be tried again', async () => {
    await appear(pod);
    const waiting = broker.token(pod, usual);
    source.calls[0]?.fail(new MetaveilError('nodeapi-unavailable', 'connection refused'));
    assert.deepEqual(await waiting, { kind: 'refused', refusal: { kind: 'unavailable', retryAfterMs: 1_000 } });
  });

  it('that were refused are not repeated at once, and are after a short while', async () => {
    refusing({ kind: 'google-refused', status: 403, reason: 'denied' });
    await appear(pod);
    for (let request = 0; request < 20; request += 1) await tokenOf(pod);
    assert.equal(source.calls.length, 1);
    issuing();
    await timers.advance(10_000);
    assert.match(await tokenOf(pod), /^token-/u);
  });

  it('that nobody waits for back off', async () => {
    refusing({ kind: 'unavailable', retryAfterMs: 1_000 });
    await appear(pod);
    await timers.advance(600_000);
    assert.ok(source.calls.length >= 10, `${source.calls.length} calls`);
    assert.ok(source.calls.length <= 25, `${source.calls.length} calls`);
  });

  it('made for a pod that ended meanwhile are made again for the one that waits', async () => {
    await appear(pod, sibling);
    const waiting = tokenOf(sibling);
    source.policy = (uid) => (uid === sibling.uid ? issued('for-sibling', timers.now() + hour) : undefined);
    source.calls[0]?.answer({ kind: 'refused', refusal: { kind: 'unknown-workload' } });
    assert.equal(await waiting, 'for-sibling');
  });

  it('that bring a token which has ended do not become one fetch per request', async () => {
    issuing(-hour);
    await appear(pod);
    for (let request = 0; request < 20; request += 1) assert.equal(await tokenOf(pod), 'refused');
    assert.equal(source.calls.length, 1);
  });

  it('for ever other scopes are throttled, and never cost the usual token of the same account', async () => {
    issuing();
    await appear(pod);
    const kinds: string[] = [];
    for (let index = 0; index < 1_000; index += 1) kinds.push(await tokenOf(pod, scoped(`scope-${index}`)));
    assert.equal(kinds.filter((kind) => kind === 'throttled').length, 1_000 - maxOtherTokens);
    const calls = source.calls.length;
    assert.equal(await tokenOf(pod), 'token-1');
    assert.equal(source.calls.length, calls);
  });

  it('at the start of a full node are few at a time', async () => {
    const many = Array.from({ length: 50 }, (_, index) =>
      workload(`p${index}`, `10.0.1.${index}`, binding(`p${index}`)),
    );
    await appear(...many);
    assert.equal(source.calls.length, 8);
    for (let index = 0; index < 50; index += 1) {
      source.calls[index]?.answer(issued(`token-${index}`, timers.now() + hour));
      await settle();
    }
    assert.equal(source.calls.length, 50);
    assert.equal(new Set(source.calls.map((call) => call.workload)).size, 50);
  });

  it('that fail for every owner alike leave a few log lines, not one per owner', async () => {
    const lines: string[] = [];
    const logger = { ...silentLogger, warn: (event: string) => void lines.push(event) };
    const failing = new TokenBroker(new Workloads(snapshots), { source, timers, random: () => 0.5, logger });
    snapshots.set({
      workloads: Array.from({ length: 50 }, (_, index) => workload(`p${index}`, '', binding(`p${index}`))),
    });
    source.policy = () => {
      throw new MetaveilError('nodeapi-unavailable', 'connection refused');
    };
    failing.start();
    await settle();
    for (let round = 0; round < 20; round += 1) await settle();
    failing.close();
    assert.ok(lines.length > 0);
    assert.ok(lines.length <= 20, `${lines.length} lines`);
  });
});
