import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Reflector, type ReflectorObserver } from '../../../../operator/adapters/kube/reflector.ts';
import { metaOf } from '../../../../operator/adapters/kube/project/raw.ts';
import type { MetaveilError } from '../../../../operator/core/errors.ts';
import { Arrivals } from './arrivals.ts';
import { ScriptedApi, statusObject, type Call } from './scripted-api.ts';

const pods = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };

function pod(name: string, resourceVersion: string): object {
  return { metadata: { namespace: 'ns', name, uid: `uid-${name}`, resourceVersion } };
}

/** A reflector of pods against a scripted API server; the sink is a plain set of names. */
class Scene {
  readonly api: ScriptedApi;
  readonly known = new Set<string>();
  readonly changes = new Arrivals<string>();
  readonly interruptions = new Arrivals<{ error: MetaveilError; retryInMs: number }>();
  readonly unreadable: string[] = [];
  /** The sink throws. */
  broken = false;
  readonly reflector: Reflector<string>;
  readonly #abort = new AbortController();
  readonly #run: Promise<void>;

  constructor(api: ScriptedApi) {
    this.api = api;
    const observer: ReflectorObserver = {
      listed: () => undefined,
      interrupted: (_type, error, retryInMs) => this.interruptions.push({ error, retryInMs }),
      unreadable: (_type, key) => this.unreadable.push(key),
    };
    this.reflector = new Reflector(
      {
        type: pods,
        fieldSelector: 'spec.nodeName!=',
        project: (raw) => {
          const meta = metaOf(raw);
          return meta?.uid === '' ? undefined : meta?.name;
        },
        sink: {
          replace: (names) => {
            this.known.clear();
            for (const name of names) this.known.add(name);
            this.changes.push(`replace ${names.join(' ')}`);
          },
          upsert: (name) => {
            if (this.broken) throw new Error('the sink is broken');
            this.known.add(name);
            this.changes.push(`upsert ${name}`);
          },
          remove: (key) => {
            this.known.delete(key.slice('ns/'.length));
            this.changes.push(`remove ${key}`);
          },
        },
      },
      { transport: api.client().transport, timers: api.timers, random: () => 0, observer },
    );
    this.#run = this.reflector.run(this.#abort.signal);
  }

  static async start(t: TestContext): Promise<Scene> {
    const scene = new Scene(await ScriptedApi.start(t));
    t.after(() => scene.stop());
    return scene;
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#run;
  }

  /** Answers the list and returns the watch that follows, opened. */
  async watching(resourceVersion = '10', items: readonly object[] = []): Promise<Call> {
    (await this.api.next()).list(resourceVersion, items);
    await this.changes.next();
    return this.nextWatch();
  }

  async nextWatch(): Promise<Call> {
    const watch = await this.api.next();
    assert.equal(watch.query['watch'], 'true');
    watch.open();
    return watch;
  }

  /** The next call, however long the reflector wants to wait before it. */
  async nextAfterPause(): Promise<Call> {
    while (this.api.calls.waiting === 0) {
      this.api.timers.jump(1000);
      await new Promise(setImmediate);
    }
    return this.api.next();
  }

  /** Resolves once the reflector has read what was last sent. */
  async heard(): Promise<void> {
    while (this.reflector.ageMs > 0) await new Promise(setImmediate);
  }

  /** Lets the wait before the next attempt pass. */
  async resume(): Promise<MetaveilError> {
    const { error, retryInMs } = await this.interruptions.next();
    this.api.timers.jump(retryInMs);
    return error;
  }
}

describe('A reflector', () => {
  it('lists page by page, without a resourceVersion, and replaces once with all of them', async (t) => {
    const scene = await Scene.start(t);
    const first = await scene.api.next();
    assert.deepEqual(first.query, { fieldSelector: 'spec.nodeName!=', limit: '500' });
    assert.equal(scene.reflector.synced, false);
    first.list('10', [pod('a', '1'), pod('b', '2')], 'token-2');
    const second = await scene.api.next();
    assert.equal(second.query['continue'], 'token-2');
    second.list('10', [pod('c', '3')]);
    assert.equal(await scene.changes.next(), 'replace a b c');
    const watch = await scene.nextWatch();
    assert.equal(scene.reflector.synced, true);
    assert.deepEqual(watch.query, {
      fieldSelector: 'spec.nodeName!=',
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: '10',
      timeoutSeconds: '240',
    });
  });

  it('asks again with smaller pages when a page is too large', async (t) => {
    const scene = await Scene.start(t);
    const padding = 'x'.repeat(33 << 20);
    (await scene.api.next()).reply(200, { metadata: { resourceVersion: '1' }, items: [], padding });
    const second = await scene.api.next();
    assert.equal(second.query['limit'], '62');
    second.list('10', [pod('a', '1')]);
    assert.equal(await scene.changes.next(), 'replace a');
  });

  it('begins the list anew when its continue token has expired', async (t) => {
    const scene = await Scene.start(t);
    (await scene.api.next()).list('10', [pod('a', '1')], 'token-2');
    (await scene.api.next()).refuse(410, 'Expired');
    const again = await scene.nextAfterPause();
    assert.equal(again.query['continue'], undefined);
    again.list('20', [pod('b', '2')]);
    assert.equal(await scene.changes.next(), 'replace b');
  });

  it('applies changes in order and resumes from the last version, a bookmark included', async (t) => {
    const scene = await Scene.start(t);
    const watch = await scene.watching('10', [pod('a', '1')]);
    watch.event('ADDED', pod('b', '11'));
    watch.event('MODIFIED', pod('b', '12'));
    watch.event('DELETED', pod('a', '13'));
    for (const expected of ['upsert b', 'upsert b', 'remove ns/a']) assert.equal(await scene.changes.next(), expected);
    watch.event('BOOKMARK', { kind: 'Pod', metadata: { resourceVersion: '99' } });
    watch.end();
    const resumed = await scene.nextWatch();
    assert.equal(resumed.query['resourceVersion'], '99');
    assert.deepEqual([...scene.known], ['b']);
    assert.equal(scene.interruptions.waiting, 0, 'a watch that ends as the server announced is no failure');
  });

  it('lists again after 410 and drops what was deleted meanwhile', async (t) => {
    const scene = await Scene.start(t);
    const watch = await scene.watching('10', [pod('a', '1'), pod('b', '2')]);
    watch.event('ERROR', statusObject(410, 'Expired', 'too old resource version: 10 (20)'));
    await watch.closed();
    (await scene.nextAfterPause()).list('20', [pod('b', '2')]);
    assert.equal(await scene.changes.next(), 'replace b');
    assert.equal((await scene.nextWatch()).query['resourceVersion'], '20');
    assert.deepEqual([...scene.known], ['b']);
  });

  it('survives a connection cut in the middle of a line, and does not apply the half', async (t) => {
    const scene = await Scene.start(t);
    const watch = await scene.watching();
    watch.event('ADDED', pod('a', '11'));
    assert.equal(await scene.changes.next(), 'upsert a');
    watch.write(JSON.stringify({ type: 'ADDED', object: pod('half', '12') }).slice(0, 40));
    watch.cut();
    const error = await scene.resume();
    assert.equal(error.code, 'kubernetes-unavailable');
    assert.equal((await scene.nextWatch()).query['resourceVersion'], '11');
    assert.deepEqual([...scene.known], ['a']);
  });

  it('joins a line that arrives in pieces', async (t) => {
    const scene = await Scene.start(t);
    const watch = await scene.watching();
    const line = `${JSON.stringify({ type: 'ADDED', object: pod('ä', '11') })}\n`;
    const bytes = Buffer.from(line);
    const middle = bytes.indexOf('ä') + 1;
    watch.writeBytes(bytes.subarray(0, middle));
    await new Promise(setImmediate);
    watch.writeBytes(bytes.subarray(middle));
    assert.equal(await scene.changes.next(), 'upsert ä');
  });

  for (const [what, line] of [
    ['text', 'upstream connect error\n'],
    ['a JSON value that is no object', '[1]\n'],
    ['an unknown type', `${JSON.stringify({ type: 'RENAMED', object: pod('a', '11') })}\n`],
    ['an object without a version', `${JSON.stringify({ type: 'ADDED', object: { metadata: { name: 'a' } } })}\n`],
  ] as const) {
    it(`leaves a watch that sends ${what}, and resumes`, async (t) => {
      const scene = await Scene.start(t);
      const watch = await scene.watching();
      watch.write(line);
      const error = await scene.resume();
      assert.match(error.message, /not a watch event/);
      assert.equal((await scene.nextWatch()).query['resourceVersion'], '10');
      assert.deepEqual([...scene.known], []);
    });
  }

  it('gives up a line that does not end, with bounded memory', async (t) => {
    const scene = await Scene.start(t);
    const watch = await scene.watching();
    const megabyte = 'x'.repeat(1 << 20);
    for (let sent = 0; sent <= 16; sent += 1) watch.write(megabyte);
    const error = await scene.resume();
    assert.match(error.message, /line of more than 16777216 bytes/);
    await scene.nextWatch();
  });

  it('lists anew when three watches in a row are refused', async (t) => {
    const scene = await Scene.start(t);
    (await scene.api.next()).list('10', []);
    await scene.changes.next();
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      (await scene.api.next()).refuse(504, 'Timeout', 'Too large resource version');
      await scene.resume();
    }
    const list = await scene.api.next();
    assert.equal(list.query['watch'], undefined);
    list.list('3', [pod('a', '1')]);
    assert.equal(await scene.changes.next(), 'replace a');
  });

  it('waits as long as the server asks for', async (t) => {
    const scene = await Scene.start(t);
    (await scene.api.next()).list('10', []);
    await scene.changes.next();
    (await scene.api.next()).refuse(429, 'TooManyRequests', 'slow down', { 'retry-after': '7' });
    const { error, retryInMs } = await scene.interruptions.next();
    assert.equal(error.code, 'kubernetes-unavailable');
    assert.equal(retryInMs, 7000);
    scene.api.timers.jump(6999);
    await new Promise(setImmediate);
    assert.equal(scene.api.calls.waiting, 0);
    scene.api.timers.jump(1);
    await scene.nextWatch();
  });

  it('does not believe a Retry-After of hours', async (t) => {
    const scene = await Scene.start(t);
    (await scene.api.next()).list('10', []);
    await scene.changes.next();
    (await scene.api.next()).refuse(429, 'TooManyRequests', 'slow down', { 'retry-after': '86400' });
    assert.equal((await scene.interruptions.next()).retryInMs, 60_000);
  });

  it('backs off longer each time, up to 5 s, and from the beginning after a success', async (t) => {
    const scene = await Scene.start(t);
    const delays: number[] = [];
    for (let attempt = 1; attempt <= 9; attempt += 1) {
      (await scene.api.next()).refuse(403, 'Forbidden', 'pods is forbidden');
      const { error, retryInMs } = await scene.interruptions.next();
      assert.equal(error.code, 'kubernetes-refused');
      delays.push(retryInMs);
      scene.api.timers.jump(retryInMs);
    }
    assert.deepEqual(delays, [100, 200, 400, 800, 1600, 2500, 2500, 2500, 2500]);
    const watch = await scene.watching();
    watch.cut();
    assert.equal((await scene.interruptions.next()).retryInMs, 100);
  });

  it('cuts a watch that has been silent for 90 s, and resumes', async (t) => {
    const scene = await Scene.start(t);
    const watch = await scene.watching();
    watch.event('ADDED', pod('a', '11'));
    await scene.changes.next();
    scene.api.timers.jump(89_000);
    assert.equal(scene.reflector.ageMs, 89_000);
    watch.event('BOOKMARK', { metadata: { resourceVersion: '12' } });
    await scene.heard();
    scene.api.timers.jump(89_000);
    watch.event('ADDED', pod('b', '13'));
    assert.equal(await scene.changes.next(), 'upsert b');
    scene.api.timers.jump(90_000);
    const error = await scene.resume();
    assert.match(error.message, /silent for too long/);
    await watch.closed();
    assert.equal((await scene.nextWatch()).query['resourceVersion'], '13');
  });

  it('gives up a server that accepts the watch and never answers', async (t) => {
    const scene = await Scene.start(t);
    (await scene.api.next()).list('10', []);
    await scene.changes.next();
    const hanging = await scene.api.next();
    scene.api.timers.jump(30_000);
    const error = await scene.resume();
    assert.equal(error.code, 'deadline-exceeded');
    await hanging.closed();
    await scene.nextWatch();
  });

  it('does not spin when the server ends every watch at once', async (t) => {
    const scene = await Scene.start(t);
    const watch = await scene.watching();
    watch.end();
    const error = await scene.resume();
    assert.match(error.message, /ended it at once/);
    await scene.nextWatch();
  });

  it('reports a sink that throws, and lists anew to put it right', async (t) => {
    const scene = await Scene.start(t);
    const watch = await scene.watching('10', [pod('a', '1')]);
    scene.broken = true;
    watch.event('ADDED', pod('b', '11'));
    for (let attempt = 1; attempt < 3; attempt += 1) {
      assert.match((await scene.resume()).message, /the sink is broken/);
      const again = await scene.nextWatch();
      assert.equal(again.query['resourceVersion'], '10', 'what was not taken is asked for again');
      again.event('ADDED', pod('b', '11'));
    }
    await scene.resume();
    scene.broken = false;
    (await scene.api.next()).list('20', [pod('a', '1'), pod('b', '11')]);
    assert.equal(await scene.changes.next(), 'replace a b');
  });

  it('names an object it cannot read and keeps what it knew of it', async (t) => {
    const scene = await Scene.start(t);
    const watch = await scene.watching('10', [pod('a', '1')]);
    watch.event('MODIFIED', { metadata: { namespace: 'ns', name: 'a', resourceVersion: '11' } });
    watch.event('ADDED', pod('b', '12'));
    assert.equal(await scene.changes.next(), 'upsert b');
    assert.deepEqual(scene.unreadable, ['ns/a']);
    assert.deepEqual([...scene.known], ['a', 'b']);
  });

  it('ends at once when stopped, and leaves no timer and no connection behind', async (t) => {
    const scene = await Scene.start(t);
    const watch = await scene.watching();
    await scene.stop();
    await watch.closed();
    assert.deepEqual(scene.api.timers.pending(), []);
    assert.equal(scene.interruptions.waiting, 0);
  });
});
