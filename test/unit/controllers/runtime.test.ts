import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ControllerRuntime } from '../../../operator/controllers/runtime.ts';
import type { ControllerDefinition } from '../../../operator/controllers/runtime.ts';
import { node, pod, storeOf } from '../../builders/objects.ts';
import { FakeTimers, settle } from '../../fakes/timers.ts';

function definition(name: string, overrides: Partial<ControllerDefinition> = {}) {
  const seen: string[] = [];
  const controller: ControllerDefinition = {
    name,
    allKeys: (cluster) => cluster.nodes().map((each) => each.name),
    keysFor: (change) => (change.kind === 'Node' ? [change.key] : []),
    reconcile: (key) => {
      seen.push(key);
      return Promise.resolve({});
    },
    ...overrides,
  };
  return { controller, seen };
}

function runtimeOf(store: ReturnType<typeof storeOf>, ...definitions: readonly ControllerDefinition[]) {
  const failures: string[] = [];
  const timers = new FakeTimers();
  const runtime = new ControllerRuntime(store, definitions, {
    timers,
    random: () => 1,
    onFailure: (controller, key) => failures.push(`${controller} ${key}`),
  });
  return { runtime, failures, timers };
}

describe('ControllerRuntime', () => {
  it('reconciles everything once at the start, then what changes concern', async () => {
    const store = storeOf(node());
    const { controller, seen } = definition('nodes');
    const { runtime } = runtimeOf(store, controller);
    store.upsert(node({ name: 'node-b' }));
    assert.deepEqual(seen, []);
    runtime.start();
    await settle();
    assert.deepEqual(seen, ['node-a', 'node-b']);
    store.upsert(node({ ready: false }));
    store.upsert(pod());
    await settle();
    assert.deepEqual(seen, ['node-a', 'node-b', 'node-a']);
    await runtime.stop();
  });

  it('passes on what a controller listens to', async () => {
    let wake: (key: string) => void = () => undefined;
    let stopped = false;
    const { controller, seen } = definition('nodes', {
      listen: (given) => {
        wake = given;
        return () => (stopped = true);
      },
    });
    const { runtime } = runtimeOf(storeOf(), controller);
    runtime.start();
    wake('elsewhere');
    await settle();
    assert.deepEqual(seen, ['elsewhere']);
    await runtime.stop();
    assert.equal(stopped, true);
  });

  it('keeps controllers apart: one that fails holds up no other', async () => {
    const failing = definition('failing', { reconcile: () => Promise.reject(new Error('no')) });
    const working = definition('working');
    const { runtime, failures } = runtimeOf(storeOf(node()), failing.controller, working.controller);
    runtime.start();
    await settle();
    assert.deepEqual(failures, ['failing node-a']);
    assert.deepEqual(working.seen, ['node-a']);
    assert.deepEqual(runtime.depths(), { failing: 1, working: 0 });
    await runtime.stop();
  });

  it('hears nothing after it has stopped', async () => {
    const store = storeOf();
    const { controller, seen } = definition('nodes');
    const { runtime } = runtimeOf(store, controller);
    runtime.start();
    await runtime.stop();
    store.upsert(node());
    await settle();
    assert.deepEqual(seen, []);
  });
});
