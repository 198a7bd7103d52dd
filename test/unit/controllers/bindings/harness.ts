/** The bindings controller on fakes, in a cluster that the test changes. */
import { settle } from '../../../fakes/timers.ts';
import { FakeTimers } from '../../../fakes/timers.ts';
import { FakeEvents, FakeProgramming, FakeVerifier, FakeWriter } from '../../../fakes/controllers.ts';
import { storeOf, namespace, provider, serviceAccount } from '../../../builders/objects.ts';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import type { ClusterStore } from '../../../../operator/core/cluster/store.ts';
import { BindingController } from '../../../../operator/controllers/bindings/controller.ts';
import { Acceptances } from '../../../../operator/controllers/providers/acceptances.ts';
import { ControllerRuntime } from '../../../../operator/controllers/runtime.ts';

export const base: readonly StoredObject[] = [namespace(), serviceAccount(), provider()];

export class World {
  readonly timers = new FakeTimers();
  readonly events = new FakeEvents();
  readonly programming = new FakeProgramming();
  readonly verifier = new FakeVerifier();
  readonly acceptances = new Acceptances();
  readonly failures: unknown[] = [];
  readonly store: ClusterStore;
  readonly writer: FakeWriter;
  #runtime: ControllerRuntime | undefined;

  constructor(...objects: readonly StoredObject[]) {
    this.store = storeOf(...objects);
    this.writer = new FakeWriter(this.store);
  }

  /** Starts the controller and lets it come to rest. */
  async start(): Promise<this> {
    const { store: cluster, writer, events, programming, verifier, acceptances, timers } = this;
    const rules = { ownNamespace: 'metaveil-system', allowInsecureEndpoints: false };
    const random = () => 0.5;
    const controller = new BindingController({
      cluster,
      rules,
      writer,
      events,
      programming,
      verifier,
      acceptances,
      timers,
      random,
    });
    const onFailure = (_controller: string, _key: string, error: unknown) => this.failures.push(error);
    this.#runtime = new ControllerRuntime(cluster, [controller], { timers, random, onFailure });
    this.#runtime.start();
    await this.rest();
    return this;
  }

  /** As after a crash: all memory of the controller is gone, the cluster stays. */
  async restart(): Promise<void> {
    await this.stop();
    this.writer.calls.splice(0);
    await this.start();
  }

  async stop(): Promise<void> {
    await this.#runtime?.stop();
  }

  /** A little time passes, enough for whatever is due now. */
  async rest(): Promise<void> {
    await this.timers.advance(1_000);
    await settle();
  }

  status(namespaceName = 'web', name = 'api') {
    return this.store.binding(namespaceName, name)?.status;
  }

  /** `type: status reason` of every condition, in order. */
  conditions(): readonly string[] {
    return (this.status()?.conditions ?? []).map(({ type, status, reason }) => `${type}: ${status} ${reason}`);
  }

  message(type: string): string {
    return this.status()?.conditions?.find((condition) => condition.type === type)?.message ?? '';
  }

  takeCalls(): readonly string[] {
    return this.writer.calls.splice(0);
  }
}
