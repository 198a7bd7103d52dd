import framework, { type OperatorLogger } from '@dot-i/k8s-operator';
import { CoreV1Api } from '@kubernetes/client-node';
import { MetaveilError } from '../../core/errors.ts';
import type { KubeClient } from './client.ts';
import { Reflector, type Reflection, type ReflectorOptions } from './reflector.ts';
import { collectionPath, type ResourceType } from './resource.ts';

export interface ShellOptions<T> extends Omit<ReflectorOptions, 'transport'> {
  readonly client: KubeClient;
  /** The kubeconfig file the client was made from; absent in a pod. */
  readonly kubeconfigPath?: string;
  /** All that the operator watches. */
  readonly reflections: readonly Reflection<T>[];
  readonly logger: OperatorLogger;
}

/** What is known of one watch, for readiness and metrics. */
export interface WatchState {
  readonly type: ResourceType;
  readonly synced: boolean;
  readonly ageMs: number;
}

// The package is CommonJS; seen from here its class is a property of its default export.
const Operator = framework.default;

/**
 * The lifecycle of the operator: `start` calls `init`, which registers and starts every watch; `stop` ends them. The
 * framework's own watch exits the process on any error and on `stop` itself, loses deletions and swallows what handlers
 * throw, and its address of the API server is `undefined` on this client: these three methods are ours.
 */
export class OperatorShell<T> extends Operator {
  readonly #options: ShellOptions<T>;
  readonly #reflectors: Reflector<T>[] = [];
  readonly #runs: Promise<void>[] = [];
  readonly #abort = new AbortController();
  readonly #synced = Promise.withResolvers<undefined>();

  /** Use operatorShell(): the framework's constructor reads the default kubeconfig. */
  constructor(options: ShellOptions<T>) {
    super(options.logger);
    this.#options = options;
    this.kubeConfig = options.client.kubeConfig;
    this.k8sApi = this.kubeConfig.makeApiClient(CoreV1Api);
  }

  /** Resolves when every watch has its first complete list. */
  get synced(): Promise<undefined> {
    return this.#synced.promise;
  }

  watches(): readonly WatchState[] {
    return this.#reflectors.map(({ type, synced, ageMs }) => ({ type, synced, ageMs }));
  }

  /** Ends all watches; the process goes on. */
  override stop(): void {
    this.#abort.abort();
  }

  /** Resolves when all watches have ended after `stop`. */
  async stopped(): Promise<void> {
    await Promise.all(this.#runs);
  }

  protected override async init(): Promise<void> {
    for (const { type } of this.#options.reflections) {
      await this.watchResource(type.group, type.version, type.plural);
    }
  }

  /**
   * Starts the reflector of a resource. Takes no callback: events go to the sink of the resource's reflection, because
   * one event after the other cannot say "these are all there are", without which deletions get lost.
   */
  protected override watchResource(group: string, version: string, plural: string): Promise<void> {
    const reflection = this.#options.reflections.find(
      ({ type }) => type.group === group && type.version === version && type.plural === plural,
    );
    if (reflection === undefined) {
      const message = `no reflection is registered for ${plural} of ${group}/${version}`;
      return Promise.reject(new MetaveilError('invalid-configuration', message));
    }
    const reflector = new Reflector(reflection, this.#reflectorOptions());
    this.#reflectors.push(reflector);
    this.#runs.push(reflector.run(this.#abort.signal));
    this.logger.info(`watching ${collectionPath(reflection.type, reflection.namespace)}`);
    return Promise.resolve();
  }

  protected override getCustomResourceApiUri(
    group: string,
    version: string,
    plural: string,
    namespace?: string,
  ): string {
    const type = { group, version, plural, kind: '', namespaced: true };
    return this.#options.client.transport.server + collectionPath(type, namespace);
  }

  #reflectorOptions(): ReflectorOptions {
    const { client, observer, timers, random } = this.#options;
    return {
      transport: client.transport,
      timers,
      random,
      observer: {
        listed: (type, objects) => {
          observer.listed(type, objects);
          if (this.#reflectors.every(({ synced }) => synced)) this.#allListed();
        },
        interrupted: (type, error, retryInMs) => observer.interrupted(type, error, retryInMs),
        unreadable: (type, key) => observer.unreadable(type, key),
      },
    };
  }

  /** A list may be complete before the last watch is even registered. */
  #allListed(): void {
    if (this.#reflectors.length === this.#options.reflections.length) this.#synced.resolve(undefined);
  }
}

/**
 * Makes the shell. While the framework's constructor runs, KUBECONFIG names the file that was chosen: a broken default
 * kubeconfig of the user must not matter to who gave another one.
 *
 * @throws {MetaveilError} invalid-configuration when the framework cannot read a kubeconfig
 */
export function operatorShell<T>(options: ShellOptions<T>, env: NodeJS.ProcessEnv = process.env): OperatorShell<T> {
  const before = env['KUBECONFIG'];
  setOrDelete(env, options.kubeconfigPath);
  try {
    return new OperatorShell(options);
  } catch (error) {
    const { code } = error as { code?: unknown };
    const why = typeof code === 'string' ? code : 'it cannot be read';
    throw new MetaveilError('invalid-configuration', `kubeconfig ${options.kubeconfigPath ?? 'by default'}: ${why}`);
  } finally {
    setOrDelete(env, before);
  }
}

function setOrDelete(env: NodeJS.ProcessEnv, kubeconfig: string | undefined): void {
  if (kubeconfig === undefined) delete env['KUBECONFIG'];
  else env['KUBECONFIG'] = kubeconfig;
}
