/** Fakes of the controllers' ports: they keep what they were told, and can be told to fail. */
import { keyOf, objectKey } from '../../operator/core/cluster/kinds.ts';
import type { CustomObject } from '../../operator/core/cluster/kinds.ts';
import type { ClusterStore } from '../../operator/core/cluster/store.ts';
import { gkeServiceAccountAnnotation } from '../../operator/core/names.ts';
import type {
  AppliedObject,
  EventRecorder,
  KubernetesEvent,
  ObjectRef,
  ObjectWriter,
  OwnedObject,
  Programming,
  ProgrammingState,
  UnforcedApply,
  VerificationOutcome,
  VerificationRequest,
  Verifier,
} from '../../operator/controllers/ports.ts';

/** Writes into a store as the API server and the watch would, and counts every call. */
export class FakeWriter implements ObjectWriter {
  readonly calls: string[] = [];
  readonly statuses: object[] = [];
  /** Thrown by the next call. */
  fails: Error | undefined;
  /** Owner of the GKE annotation if it is not us, by key of the ServiceAccount. */
  readonly owners = new Map<string, string>();
  /** Whether the store sees writes at once. */
  echoes = true;
  readonly #store: ClusterStore;
  #version = 1;

  constructor(store: ClusterStore) {
    this.#store = store;
  }

  apply(object: AppliedObject): Promise<void> {
    return this.#call(`apply ${object.kind} ${object.metadata.name}`);
  }

  async applyUnforced(object: AppliedObject): Promise<UnforcedApply> {
    const { namespace = '', name, annotations } = object.metadata;
    const value = annotations?.[gkeServiceAccountAnnotation];
    await this.#call(`applyUnforced ${object.kind} ${objectKey(namespace, name)} ${value ?? '-'}`);
    const owner = this.owners.get(objectKey(namespace, name));
    if (owner !== undefined && value !== undefined) return { kind: 'conflict', message: `conflict with "${owner}".` };
    const account = this.#store.serviceAccount(namespace, name);
    const keeps = account === undefined || owner !== undefined || account.uid !== object.metadata.uid;
    if (!keeps) this.#store.upsert({ ...account, gkeServiceAccount: value ?? '' });
    return { kind: 'applied' };
  }

  delete(ref: ObjectRef): Promise<void> {
    return this.#call(`delete ${ref.kind} ${ref.name}`);
  }

  async listOwned(): Promise<readonly OwnedObject[]> {
    await this.#call('listOwned');
    return [];
  }

  async updateStatus(ref: ObjectRef, status: object): Promise<void> {
    await this.#call(`status ${ref.kind} ${objectKey(ref.namespace ?? '', ref.name)}`);
    this.statuses.push(status);
    if (this.echoes) this.echo(ref, status);
  }

  /** What the watch delivers after a status update. */
  echo(ref: ObjectRef, status: object): void {
    const object = this.#store.get(ref.kind as CustomObject['kind'], objectKey(ref.namespace ?? '', ref.name));
    if (object === undefined) return;
    this.#version += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#version) };
    this.#store.upsert({ ...object, metadata, status });
  }

  addFinalizer(ref: ObjectRef): Promise<void> {
    return this.#call(`addFinalizer ${ref.name}`);
  }

  removeFinalizer(ref: ObjectRef): Promise<void> {
    return this.#call(`removeFinalizer ${ref.name}`);
  }

  #call(what: string): Promise<void> {
    this.calls.push(what);
    const failure = this.fails;
    this.fails = undefined;
    return failure === undefined ? Promise.resolve() : Promise.reject(failure);
  }
}

export class FakeEvents implements EventRecorder {
  readonly recorded: { readonly about: string; readonly event: KubernetesEvent }[] = [];

  record(ref: ObjectRef, event: KubernetesEvent): void {
    this.recorded.push({ about: objectKey(ref.namespace ?? '', ref.name), event });
  }

  /** `Type Reason` of what was recorded since the last call. */
  take(): readonly string[] {
    return this.recorded.splice(0).map(({ event }) => `${event.type} ${event.reason}`);
  }
}

export const nowhere: ProgrammingState = { desired: 0, programmed: 0, rejected: [], disconnected: [] };

export class FakeProgramming implements Programming {
  readonly #states = new Map<string, ProgrammingState>();
  readonly #listeners = new Set<(uids: ReadonlySet<string>) => void>();

  programming(objectUid: string): ProgrammingState {
    return this.#states.get(objectUid) ?? nowhere;
  }

  set(objectUid: string, state: Partial<ProgrammingState>): void {
    this.#states.set(objectUid, { ...nowhere, ...state });
    for (const listener of this.#listeners) listener(new Set([objectUid]));
  }

  onChange(listener: (uids: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Answers what the test says, per binding. */
export class FakeVerifier implements Verifier {
  readonly asked: string[] = [];
  answer: (request: VerificationRequest) => VerificationOutcome | Promise<VerificationOutcome> = () => ({
    kind: 'verified',
  });

  async verify(request: VerificationRequest): Promise<VerificationOutcome> {
    this.asked.push(keyOf(request.binding));
    return this.answer(request);
  }
}
