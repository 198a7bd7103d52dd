/** The matrix: every client in every kind of pod in every state, and every way to address the server. */
import type { Asked, ClientProcess, Reply } from './client-process.ts';
import type { ConformanceClient, Operation, PreparedClient } from './clients/contract.ts';
import { assertPrincipal, assertReply, audience, narrowScope, questions } from './expectations.ts';
import {
  emulatedProjectId,
  identities,
  proxyHost,
  storageEndpoint,
  type ConformanceStage,
  type Identity,
} from './stage.ts';

export const states = ['cold', 'warm', 'restarted', 'outage'] as const;
export type State = (typeof states)[number];

/** Value of the three variables; undefined: none is set and the library goes its own way. */
export const addressings = {
  'as it likes': undefined,
  '169.254.169.254': '169.254.169.254',
  'fd20:ce::254': '[fd20:ce::254]',
  metadata: 'metadata',
  'metadata.google.internal': 'metadata.google.internal',
  'metadata.google.internal.': 'metadata.google.internal.',
  variables: proxyHost,
} as const;
export type Addressing = keyof typeof addressings;

/** What was asked in a cell, and what was wrong: nothing, if it passed. */
export interface Cell {
  readonly operations: readonly Operation['operation'][];
  readonly problems: readonly string[];
}

export interface Row {
  readonly client: ConformanceClient;
  readonly versions: PreparedClient['versions'];
  readonly states: Map<`${Identity}/${State}`, Cell>;
  readonly addressings: Map<Addressing, Cell>;
  /** What the client says in an unbound pod when it is asked for a token. */
  refusal: string;
}

type Pods = Readonly<Record<Identity, ClientProcess>>;

/** One client's part of the matrix. */
export class ClientRun {
  readonly row: Row;
  readonly #stage: ConformanceStage;
  readonly #prepared: PreparedClient;

  constructor(stage: ConformanceStage, client: ConformanceClient, prepared: PreparedClient) {
    this.#stage = stage;
    this.#prepared = prepared;
    this.row = { client, versions: prepared.versions, states: new Map(), addressings: new Map(), refusal: '' };
  }

  /** Every state, one process in each pod through all of them: what it keeps is what the states are about. */
  async runStates(): Promise<void> {
    const stage = this.#stage;
    const pods = Object.fromEntries(identities.map((each) => [each, stage.run(this.#prepared, each)])) as Pods;
    try {
      await stage.startCold();
      await this.#inEachPod('cold', (identity) => this.#askAll(pods[identity], identity));
      await stage.quiet();
      const asked = stage.exchanges;
      await this.#inEachPod('warm', async (identity) => {
        const cell = await this.#askAll(pods[identity], identity);
        const again = stage.exchanges - asked;
        return again === 0 ? cell : withProblem(cell, `Google was asked ${again} times more`);
      });
      await stage.restartProxy();
      await this.#inEachPod('restarted', (identity) => this.#askAll(pods[identity], identity));
      for (const identity of identities) this.#record(identity, 'outage', await this.#duringOutage(pods, identity));
    } finally {
      await Promise.all(Object.values(pods).map((each) => each.end()));
    }
  }

  /** The bound pod on a warm proxy, addressed in each way that the kernel leads to it. */
  async runAddressings(): Promise<void> {
    for (const [name, value] of Object.entries(addressings) as [Addressing, string | undefined][]) {
      if (name !== 'variables') await this.#addressed(name, value);
    }
  }

  /** Nothing is redirected any more: whatever the client does not ask through the variables is seen. */
  async runVariables(): Promise<void> {
    const { gce } = this.#stage;
    const before = gce.requests().length;
    await this.#addressed('variables', addressings.variables);
    const strays = gce.requests().slice(before);
    const cell = this.row.addressings.get('variables');
    if (strays.length > 0 && cell !== undefined) {
      const paths = strays.map(({ target }) => target).join(', ');
      this.row.addressings.set('variables', withProblem(cell, `the node's own server was asked: ${paths}`));
    }
  }

  async #inEachPod(state: State, ask: (identity: Identity) => Promise<Cell>): Promise<void> {
    await Promise.all(identities.map(async (identity) => this.#record(identity, state, await ask(identity))));
  }

  #record(identity: Identity, state: State, cell: Cell): void {
    this.row.states.set(`${identity}/${state}`, cell);
  }

  async #askAll(pod: ClientProcess, identity: Identity): Promise<Cell> {
    const operations: Operation['operation'][] = [];
    const problems: string[] = [];
    for (const question of questions(identity)) {
      if (!this.row.client.operations.includes(question.operation)) continue;
      operations.push(question.operation);
      const reply = await pod.ask(question);
      if (identity === 'unbound' && question.operation === 'access-token') this.#keepRefusal(reply);
      problems.push(...(await this.#problemsOf(identity, question, reply)));
    }
    return { operations, problems };
  }

  /** Google is away for the pods that have an identity, the node's own server for the one that has none. */
  async #duringOutage(pods: Pods, identity: Identity): Promise<Cell> {
    const stage = this.#stage;
    if (identity === 'unbound') {
      // A new process: some libraries remember the project.
      const pod = stage.run(this.#prepared, identity);
      const asked = { operation: 'project-id', fresh: true } as const;
      const outcome = await stage.duringMetadataOutage(() => pod.ask(asked));
      await pod.end();
      return this.#outageCell(identity, asked, outcome);
    }
    const asked =
      identity === 'bound'
        ? ({ operation: 'identity-token', audience: `${audience}/outage`, fresh: true } as const)
        : ({ operation: 'access-token', scopes: [narrowScope], fresh: true } as const);
    return this.#outageCell(identity, asked, await stage.duringGoogleOutage(() => pods[identity].ask(asked)));
  }

  async #outageCell(
    identity: Identity,
    asked: Asked,
    { result, met }: { readonly result: Reply; readonly met: number },
  ): Promise<Cell> {
    const problems = await this.#problemsOf(identity, asked, result);
    const cell = { operations: [asked.operation], problems };
    return met > 0 ? cell : withProblem(cell, 'no request met the outage');
  }

  async #addressed(name: Addressing, value: string | undefined): Promise<void> {
    const variables = value === undefined ? {} : variablesOf(value);
    const pod = this.#stage.run(this.#prepared, 'bound', variables);
    const cell = name === 'variables' ? await this.#askBehindVariables(pod) : await this.#askShortly(pod);
    this.row.addressings.set(name, cell);
    await pod.end();
  }

  async #askShortly(pod: ClientProcess): Promise<Cell> {
    const asked: readonly Asked[] = [
      { operation: 'on-gce', fresh: true },
      { operation: 'project-id', fresh: true },
      { operation: 'access-token', fresh: true },
    ];
    const problems: string[] = [];
    const possible = asked.filter(({ operation }) => this.row.client.operations.includes(operation));
    for (const each of possible) problems.push(...(await this.#problemsOf('bound', each, await pod.ask(each))));
    return { operations: possible.map(({ operation }) => operation), problems };
  }

  async #askBehindVariables(pod: ClientProcess): Promise<Cell> {
    const { client } = this.row;
    const problems: string[] = [];
    const project = await pod.ask({ operation: 'project-id', fresh: true });
    if (!project.ok) problems.push(`project-id: ${project.error}`);
    else if (project.value !== emulatedProjectId) problems.push(`project-id: ${project.value}`);
    const token = await pod.ask({ operation: 'access-token', fresh: true });
    problems.push(...(await this.#problemsOf('bound', { operation: 'access-token' }, token)));
    const operations: Operation['operation'][] = ['project-id', 'access-token'];
    for (const asked of [
      { operation: 'on-gce' },
      { operation: 'list-buckets', endpoint: storageEndpoint('bound') },
    ] as const) {
      if (!client.operations.includes(asked.operation)) continue;
      operations.push(asked.operation);
      problems.push(...(await this.#problemsOf('bound', asked, await pod.ask(asked))));
    }
    return { operations, problems };
  }

  async #problemsOf(identity: Identity, asked: Operation, reply: Reply): Promise<readonly string[]> {
    try {
      await assertReply(this.#stage, identity, asked, reply);
      return [];
    } catch (error) {
      return [`${asked.operation}: ${error instanceof Error ? error.message : String(error)}`];
    }
  }

  #keepRefusal(reply: Reply): void {
    if (!reply.ok) this.row.refusal = reply.error;
  }
}

/** The unbound pod, once the platform team gives every ServiceAccount its federated identity. */
export async function assertFederatedByDefault(stage: ConformanceStage, prepared: PreparedClient): Promise<void> {
  const pod = stage.run(prepared, 'unbound');
  const reply = await pod.ask({ operation: 'access-token', fresh: true });
  await pod.end();
  if (!reply.ok) throw new Error(reply.error);
  assertPrincipal(stage, 'unbound', reply.value);
}

/** gcloud reads only ROOT, Java only HOST, Node prefers IP: all three, always. */
function variablesOf(value: string): Readonly<Record<string, string>> {
  return { GCE_METADATA_HOST: value, GCE_METADATA_IP: value, GCE_METADATA_ROOT: value };
}

function withProblem(cell: Cell, problem: string): Cell {
  return { ...cell, problems: [...cell.problems, problem] };
}

/** What did not pass, one line each. */
export function problemsOf({ client, states: cells, addressings: ways }: Row): readonly string[] {
  return [...cells, ...ways].flatMap(([where, { problems }]) =>
    problems.map((problem) => `${client.name}, ${where}: ${problem}`),
  );
}
