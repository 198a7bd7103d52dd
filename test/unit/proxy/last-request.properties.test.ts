/** What a connection keeps of its last request changes no reply, no log line, no count and no question upstream. */
import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CompiledPolicy, NodeSettings, Workload } from '../../../operator/core/snapshot/types.ts';
import type { RawRequest } from '../../../operator/core/request/canonical.ts';
import { metadataHosts } from '../../../operator/core/request/host.ts';
import { TokenBroker } from '../../../operator/proxy/broker.ts';
import { DecisionCounter } from '../../../operator/proxy/decision-counter.ts';
import { DenialLog } from '../../../operator/proxy/denial-log.ts';
import { RequestHandler } from '../../../operator/proxy/handler.ts';
import { Identifier, type Connection } from '../../../operator/proxy/identify.ts';
import { PassThrough } from '../../../operator/proxy/passthrough.ts';
import type { Reply } from '../../../operator/proxy/replies.ts';
import { ChangeWaiter } from '../../../operator/proxy/wait-for-change.ts';
import { Workloads } from '../../../operator/proxy/workloads.ts';
import { createLogger } from '../../../operator/telemetry/log.ts';
import { FakeTimers, settle } from '../../fakes/timers.ts';
import { cmdp, mdp } from '../core/policy/subjects.ts';
import { hash } from '../core/tree/ask.ts';
import { binding, FakeSnapshots, FakeTokenSource, issued, nodeSettings, workload } from './support.ts';

const address = '10.0.0.7';
const lifetimeMs = 3_600_000;

interface World {
  readonly settings?: NodeSettings;
  readonly workloads: readonly Workload[];
  readonly policies?: readonly CompiledPolicy[];
}

/** Everything a request goes through, and everything that comes out of it. */
class Stage {
  readonly #timers = new FakeTimers();
  readonly #snapshots = new FakeSnapshots();
  readonly #tokens = new FakeTokenSource();
  readonly #handler: RequestHandler;
  readonly #forgets: boolean;
  connection = connectionFrom(address);
  /** Log lines, counts, questions to the controller and to the node's server, in their order. */
  readonly effects: unknown[] = [];
  hits = 0;

  constructor(forgets: boolean) {
    this.#forgets = forgets;
    const timers = this.#timers;
    const write = (line: string): void => {
      this.effects.push({ ...(JSON.parse(line) as object), time: undefined });
    };
    const logger = createLogger({ component: 'proxy', destination: { write } });
    const workloads = new Workloads(this.#snapshots);
    const broker = new TokenBroker(workloads, { source: this.#tokens, timers, random: () => 0.5, logger });
    this.#tokens.policy = (pod, wish) => {
      this.effects.push([pod, wish]);
      return issued(`token ${this.#tokens.calls.length}`, timers.now() + lifetimeMs);
    };
    const upstream = {
      get: ({ target }: { readonly target: string }) => {
        this.effects.push(target);
        const body = `value ${this.effects.length}`;
        return Promise.resolve({ kind: 'answered' as const, status: 200, json: false, body });
      },
    };
    this.#handler = new RequestHandler({
      identifier: new Identifier(workloads, timers),
      broker,
      changes: new ChangeWaiter(workloads, timers),
      timers,
      hash,
      denials: new DenialLog(logger, timers),
      decisions: new DecisionCounter({ report: (summary) => void this.effects.push(summary) }, timers),
      hosts: metadataHosts,
      passThrough: new PassThrough({ upstream, timers, hash }),
    });
    broker.start();
  }

  async take(step: Step): Promise<unknown> {
    switch (step.kind) {
      case 'ask':
        return this.#ask(step.request);
      case 'snapshot':
        this.#snapshots.set(step.world);
        return settle();
      case 'wait':
        return this.#timers.advance(step.ms);
      case 'reconnect':
        this.connection = connectionFrom(address);
        return undefined;
    }
  }

  async #ask(raw: RawRequest): Promise<Pick<Reply, 'status' | 'headers' | 'body' | 'close'>> {
    if (this.#forgets) this.connection.last = undefined;
    const before = this.connection.last?.planned;
    const asked = Promise.resolve(this.#handler.handle(raw, this.connection));
    // A request of an unknown pod is held until its time is over.
    const late = asked.then(() => true);
    await settle();
    if (!(await Promise.race([late, settle().then(() => false)]))) await this.#timers.advance(5_000);
    const { status, headers, body, close } = await asked;
    if (before !== undefined && this.connection.last?.planned === before) this.hits += 1;
    return { status, headers, body, close };
  }
}

function connectionFrom(from: string): Connection {
  return { address: from, pod: undefined, ending: new AbortController().signal, last: undefined };
}

const bound = (overrides: Parameters<typeof binding>[1] = {}, policies: readonly CompiledPolicy[] = []): Workload => ({
  ...workload('app', address, binding('app', overrides)),
  policies: policies.map(({ uid }) => uid),
});

/** The pod under other policies, with another binding, on another platform, without a binding, and gone. */
function otherWorlds(): readonly World[] {
  const under = (...policies: readonly CompiledPolicy[]): World => ({ workloads: [bound({}, policies)], policies });
  const real = nodeSettings({ platform: 'GCE', defaultProfile: 'Privileged' });
  return [
    under(mdp('hide', { conceal: ['instance/service-accounts/*/token', 'project/**'] })),
    under(mdp('trial', { mode: 'Audit', conceal: ['instance/zone', 'instance/service-accounts/**'] })),
    under(cmdp('open', { reveal: ['instance/attributes/kube-env'], legacyEndpoints: 'Allow' })),
    { workloads: [bound({ generation: 2, scopes: ['https://www.googleapis.com/auth/bigquery'] })] },
    { workloads: [bound({ epoch: 'revoked', access: 'Direct', email: 'pool.svc.id.goog' })] },
    { workloads: [workload('app', address, undefined)] },
    { workloads: [bound()], settings: real },
    { workloads: [workload('app', address, undefined)], settings: real },
    { workloads: [workload('other', address, binding('other'))] },
    { workloads: [] },
  ];
}
const firstWorld: World = { workloads: [bound()] };
const worlds = [firstWorld, ...otherWorlds()];

const v1 = '/computeMetadata/v1';
const targets = [
  ...['', '?scopes=openid', '?scopes=', '?alt=text'].map(
    (query) => `${v1}/instance/service-accounts/default/token${query}`,
  ),
  ...[
    `${v1}/instance/service-accounts/default/identity?audience=a`,
    `${v1}/instance/service-accounts/default/identity`,
  ],
  ...[`${v1}/instance/service-accounts/app@test-project.iam.gserviceaccount.com/token`, `${v1}/instance/zone`],
  ...[`${v1}/instance/?recursive=true`, `${v1}/instance?recursive=true`, `${v1}/instance/attributes/kube-env`],
  ...[
    `${v1}/project/project-id`,
    `${v1}/nothing`,
    '/',
    '/0.1/meta-data/zone',
    `${v1}//instance/zone`,
    '/computeMetadata',
  ],
];
const flavor = ['Metadata-Flavor', 'Google'];
const host = ['Host', 'metadata.google.internal'];
const headers = [
  [...host, ...flavor],
  [...flavor, ...host],
  [...host, ...flavor, ...flavor],
  [...host, 'Metadata-Flavor', 'google'],
  [...host, 'metadata-flavor', 'Google'],
  [...host],
  ['Host', 'metadata', ...flavor],
  ['Host', 'example.com', ...flavor],
  [...host, ...flavor, 'X-Forwarded-For', '10.0.0.9'],
  [...host, ...flavor, 'Content-Length', '0'],
  [...host, ...flavor, 'Content-Length', '1'],
  [...host, ...flavor, 'User-Agent', 'x'.repeat(3_000)],
];

const request: fc.Arbitrary<RawRequest> = fc.record({
  method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'POST'),
  target: fc.constantFrom(...targets),
  httpVersion: fc.constantFrom('1.1', '1.1', '1.1', '1.0'),
  rawHeaders: fc.constantFrom(...headers.slice(0, 2), ...headers),
});

type Step =
  | { readonly kind: 'ask'; readonly request: RawRequest }
  | { readonly kind: 'snapshot'; readonly world: World }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'reconnect' };

/** What clients send, so that there is something to keep. */
const plain: fc.Arbitrary<RawRequest> = fc.constantFrom(...targets).map((target) => ({
  method: 'GET',
  target,
  httpVersion: '1.1',
  rawHeaders: [...host, ...flavor],
}));

/** One request, asked again and again: equal ones, and ones that differ from it in a single part. */
const steps: fc.Arbitrary<readonly Step[]> = fc.oneof({ weight: 3, arbitrary: plain }, request).chain((base) => {
  const changed = fc.oneof(
    { weight: 8, arbitrary: fc.constant(base) },
    request.map(({ method }) => ({ ...base, method })),
    request.map(({ target }) => ({ ...base, target })),
    request.map(({ httpVersion }) => ({ ...base, httpVersion })),
    request.map(({ rawHeaders }) => ({ ...base, rawHeaders })),
  );
  const step: fc.Arbitrary<Step> = fc.oneof(
    // A copy, as every request that arrives is one.
    { weight: 6, arbitrary: changed.map((each) => ({ kind: 'ask' as const, request: structuredClone(each) })) },
    { weight: 2, arbitrary: fc.constantFrom(...worlds).map((world) => ({ kind: 'snapshot' as const, world })) },
    { weight: 1, arbitrary: fc.constantFrom(300, 10_000, lifetimeMs).map((ms) => ({ kind: 'wait' as const, ms })) },
    { weight: 1, arbitrary: fc.constant({ kind: 'reconnect' as const }) },
  );
  return fc.array(step, { minLength: 2, maxLength: 24 });
});

describe('what a connection keeps of its last request', () => {
  it('changes nothing that can be seen, whatever is asked and however the node changes meanwhile', async () => {
    let hits = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (taken) => {
        const [keeping, forgetting] = [new Stage(false), new Stage(true)];
        for (const stage of [keeping, forgetting]) await stage.take({ kind: 'snapshot', world: firstWorld });
        for (const step of taken) assert.deepEqual(await keeping.take(step), await forgetting.take(step));
        for (const stage of [keeping, forgetting]) await stage.take({ kind: 'wait', ms: 10_000 });
        assert.deepEqual(keeping.effects, forgetting.effects);
        hits += keeping.hits;
        assert.equal(forgetting.hits, 0);
      }),
      { numRuns: 200 },
    );
    assert.ok(hits > 50, `only ${hits} requests were answered from what was kept`);
  });
});
