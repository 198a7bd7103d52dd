import type { Timers } from '../../core/time.ts';
import { unlessNotFound, type KubeClient } from './client.ts';
import { isRecord, recordsAt, textAt } from './project/raw.ts';
import { groupVersionOf, groupVersionPath, type ResourceType } from './resource.ts';

/** What is there seldom goes away; what is missing may just be being installed. */
const foundForMs = 600_000;
const missingForMs = 30_000;

type Kinds = ReadonlyMap<string, ResourceType>;

/** Which kinds the cluster serves, and under which path: kinds of others (Cilium, Calico) may or may not be installed. */
export class ApiDiscovery {
  readonly #client: KubeClient;
  readonly #timers: Timers;
  readonly #known = new Map<string, { readonly kinds: Promise<Kinds>; readonly askedAt: number }>();

  constructor(client: KubeClient, timers: Timers) {
    this.#client = client;
    this.#timers = timers;
  }

  /** Undefined: not installed. Throws kubernetes-unavailable when nobody can tell. */
  async find(apiVersion: string, kind: string): Promise<ResourceType | undefined> {
    const found = await this.#lookUp(apiVersion, kind, foundForMs);
    return found ?? this.#lookUp(apiVersion, kind, missingForMs);
  }

  async #lookUp(apiVersion: string, kind: string, validMs: number): Promise<ResourceType | undefined> {
    const known = this.#known.get(apiVersion);
    if (known !== undefined && this.#timers.now() - known.askedAt < validMs) return (await known.kinds).get(kind);
    const kinds = this.#ask(apiVersion);
    this.#known.set(apiVersion, { kinds, askedAt: this.#timers.now() });
    // A failure is not knowledge.
    kinds.catch(() => this.#known.delete(apiVersion));
    return (await kinds).get(kind);
  }

  async #ask(apiVersion: string): Promise<Kinds> {
    const groupVersion = groupVersionOf(apiVersion);
    const reply = await unlessNotFound(this.#client.request({ method: 'GET', path: groupVersionPath(groupVersion) }));
    const resources = isRecord(reply) ? recordsAt(reply, 'resources') : [];
    return new Map(
      resources
        // Subresources are listed beside their owners, as `pods/status`.
        .filter((resource) => !textAt(resource, 'name').includes('/'))
        .map((resource) => [
          textAt(resource, 'kind'),
          {
            ...groupVersion,
            kind: textAt(resource, 'kind'),
            plural: textAt(resource, 'name'),
            namespaced: resource['namespaced'] === true,
          },
        ]),
    );
  }
}
