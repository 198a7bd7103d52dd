import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import { kinds, type KindName } from '../../../operator/api/v1/index.ts';
import type { ClusterAccess } from '../../cluster/access.ts';

/** What the API server says to an object; nothing is stored. */
export type ServerVerdict =
  | { readonly kind: 'accepted'; readonly object: { readonly spec: unknown; readonly status?: unknown } }
  | { readonly kind: 'refused'; readonly message: string };

/** Posts texts to the API server as `kubectl create --dry-run=server --validate=strict` does. */
export class Submitter {
  readonly #cluster: ClusterAccess;
  readonly #agent: Agent;
  readonly #namespace: string;

  constructor(cluster: ClusterAccess, namespace: string) {
    this.#cluster = cluster;
    this.#namespace = namespace;
    this.#agent = new Agent({ connect: { ca: readFileSync(cluster.caPath, 'utf8') }, connections: 8 });
  }

  /** @param text YAML, or JSON, which is YAML too */
  async submit(kind: KindName, text: string): Promise<ServerVerdict> {
    const reply = await request(`${this.#cluster.server}${this.#path(kind)}?dryRun=All&fieldValidation=Strict`, {
      dispatcher: this.#agent,
      method: 'POST',
      headers: { authorization: `Bearer ${this.#cluster.adminToken}`, 'content-type': 'application/yaml' },
      body: text,
    });
    const body = (await reply.body.json()) as { message?: string; spec: unknown };
    if (reply.statusCode === 201) return { kind: 'accepted', object: body };
    if (reply.statusCode !== 422 && reply.statusCode !== 400) throw new Error(`HTTP ${String(reply.statusCode)}`);
    return { kind: 'refused', message: body.message ?? '' };
  }

  async close(): Promise<void> {
    await this.#agent.close();
  }

  #path(kind: KindName): string {
    const definition = kinds.find((candidate) => candidate.kind === kind);
    if (definition === undefined) throw new Error(`no kind ${kind}`);
    const scope = definition.scope === 'Namespaced' ? `/namespaces/${this.#namespace}` : '';
    return `/apis/metaveil.dev/v1${scope}/${definition.plural}`;
  }
}
