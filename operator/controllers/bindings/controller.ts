/** Keeps WorkloadIdentityBindings true: their status, and on GKE the annotation of their ServiceAccount. */
import { refOf } from '../refs.ts';
import type { WorkloadIdentityBindingStatus } from '../../api/v1/index.ts';
import { keyOf, objectKey } from '../../core/cluster/kinds.ts';
import { isLive } from '../../core/cluster/objects.ts';
import type { Pod } from '../../core/cluster/objects.ts';
import type { ClusterView, StoreChange } from '../../core/cluster/store.ts';
import type { IdentityRules } from '../../core/identity/accept.ts';
import { bindingUid } from '../../core/identity/view.ts';
import { hasNoEffect } from '../../core/snapshot/concerns.ts';
import type { Timers } from '../../core/time.ts';
import type { EventRecorder, ObjectWriter, Programming, VerificationOutcome, Verifier } from '../ports.ts';
import type { Acceptances } from '../providers/acceptances.ts';
import type { ReconcileResult } from '../queue.ts';
import type { ControllerDefinition } from '../runtime.ts';
import { WrittenStatuses } from '../status-writes.ts';
import { AnnotationMemory } from './annotation-memory.ts';
import type { BindingFacts } from './facts.ts';
import { gatherBinding } from './gather.ts';
import type { BindingSources, KnownBinding } from './gather.ts';
import { planBinding } from './plan.ts';
import type { BindingPlan } from './plan.ts';
import { Verifications } from './verifications.ts';

export interface BindingControllerOptions {
  readonly cluster: ClusterView;
  readonly rules: IdentityRules;
  readonly writer: ObjectWriter;
  readonly events: EventRecorder;
  readonly programming: Programming;
  readonly verifier: Verifier;
  readonly acceptances: Acceptances;
  readonly timers: Timers;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class BindingController implements ControllerDefinition {
  readonly name = 'bindings';
  readonly #options: BindingControllerOptions;
  readonly #sources: BindingSources;
  readonly #written = new WrittenStatuses<WorkloadIdentityBindingStatus>();
  readonly #annotations = new AnnotationMemory();
  readonly #known = new Map<string, KnownBinding>();
  readonly #keyOfUid = new Map<string, string>();
  readonly #verifications: Verifications;
  #wake: (key: string) => void = () => undefined;

  constructor(options: BindingControllerOptions) {
    this.#options = options;
    const { cluster, rules, programming, verifier, timers, random } = options;
    const onOutcome = (key: string, { kind }: VerificationOutcome, provider: string) => {
      if (kind === 'verified') options.acceptances.record(provider, timers.now());
      this.#wake(key);
    };
    this.#verifications = new Verifications({
      verifier,
      timers,
      random,
      onOutcome: (key, request, outcome) => onOutcome(key, outcome, request.provider.metadata.name),
    });
    this.#sources = {
      cluster,
      rules,
      programming,
      verifications: this.#verifications,
      written: this.#written,
      annotations: this.#annotations,
      known: this.#known,
    };
  }

  /** ServiceAccounts with an annotation too: it may be ours, of a binding that went while nobody looked. */
  readonly allKeys = (cluster: ClusterView): Iterable<string> => {
    const annotated = cluster.list('ServiceAccount').filter(({ gkeServiceAccount }) => gkeServiceAccount !== '');
    return new Set([...cluster.bindings(), ...annotated].map(keyOf));
  };

  readonly keysFor = (change: StoreChange, cluster: ClusterView): Iterable<string> => {
    switch (change.kind) {
      case 'WorkloadIdentityBinding':
        return [change.key];
      case 'ServiceAccount':
        return this.#isOurs(change.key, cluster) || change.current?.gkeServiceAccount ? [change.key] : [];
      case 'Pod':
        return accountKeys(change.previous, change.current).filter((key) => this.#isOurs(key, cluster));
      case 'WorkloadIdentityProvider':
        return hasNoEffect(change) ? [] : cluster.bindingsOfProvider(change.key).map(keyOf);
      default:
        return [];
    }
  };

  readonly listen = (wake: (key: string) => void): (() => void) => {
    this.#wake = wake;
    const unlisten = this.#options.programming.onChange((uids) => {
      for (const key of [...uids].map((uid) => this.#keyOfUid.get(uid))) if (key !== undefined) wake(key);
    });
    return () => {
      unlisten();
      this.#wake = () => undefined;
      void this.#verifications.stop();
    };
  };

  readonly reconcile = async (key: string): Promise<ReconcileResult> => {
    const facts = gatherBinding(key, this.#sources, this.#options.timers.now());
    this.#notePresence(key, facts);
    const plan = planBinding(facts);
    await this.#applyAnnotation(key, plan, facts);
    await this.#applyStatuses(key, plan, facts);
    if (plan.about !== undefined) for (const event of plan.events) this.#options.events.record(plan.about, event);
    return plan.requeueAfterMs === undefined ? {} : { requeueAfterMs: plan.requeueAfterMs };
  };

  #isOurs(key: string, cluster: ClusterView): boolean {
    return cluster.get('WorkloadIdentityBinding', key) !== undefined;
  }

  #notePresence(key: string, facts: BindingFacts): void {
    const known = this.#known.get(key);
    if (known !== undefined) this.#keyOfUid.delete(known.uid);
    if (facts.kind === 'absent') {
      this.#known.delete(key);
      this.#written.forget(key);
      this.#verifications.forget(key);
      if (facts.annotation === undefined) this.#annotations.forget(key);
      return;
    }
    const uid = bindingUid(facts.binding);
    this.#known.set(key, { ref: refOf(facts.binding), uid, generation: facts.binding.metadata.generation ?? 0 });
    this.#keyOfUid.set(uid, key);
  }

  async #applyAnnotation(key: string, { annotation }: BindingPlan, facts: BindingFacts): Promise<void> {
    const account = facts.annotation?.account;
    if (annotation.kind === 'keep' || account === undefined) return;
    const outcome = await this.#options.writer.applyUnforced(annotation.object);
    const at = this.#options.timers.now();
    if (outcome.kind === 'conflict') {
      this.#annotations.remember(key, account, { conflict: outcome.message, at });
      // The store shows a written annotation by itself; a conflict only we know of.
      this.#wake(key);
    } else if (annotation.kind === 'release') {
      this.#annotations.remember(key, account, { conflict: undefined, at });
    } else {
      this.#annotations.forget(key);
    }
  }

  async #applyStatuses(key: string, plan: BindingPlan, facts: BindingFacts): Promise<void> {
    if (facts.kind === 'absent') return;
    for (const status of plan.statuses) {
      await this.#options.writer.updateStatus(refOf(facts.binding), status);
      this.#written.remember(key, facts.binding, { status, at: this.#options.timers.now() });
    }
  }
}

function accountKeys(...pods: readonly (Pod | undefined)[]): readonly string[] {
  const keys = pods
    .filter((pod) => pod !== undefined && isLive(pod))
    .map((pod) => (pod === undefined ? '' : objectKey(pod.namespace, pod.serviceAccountName)));
  return [...new Set(keys)];
}
