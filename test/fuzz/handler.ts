/** The layer of the whole handler in memory: from a request to its reply, with a node's server that judges its questions. */
import { createHash } from 'node:crypto';
import type { ContentHash, PodUid } from '../../operator/core/brand.ts';
import { metadataHosts } from '../../operator/core/request/host.ts';
import { TokenBroker } from '../../operator/proxy/broker.ts';
import { DecisionCounter } from '../../operator/proxy/decision-counter.ts';
import { DenialLog, logRefillMs } from '../../operator/proxy/denial-log.ts';
import { RequestHandler, type HandlerParts } from '../../operator/proxy/handler.ts';
import { Identifier, type Connection } from '../../operator/proxy/identify.ts';
import { PassThrough } from '../../operator/proxy/passthrough.ts';
import type { Upstream, UpstreamReply, UpstreamRequest } from '../../operator/proxy/ports.ts';
import type { Reply } from '../../operator/proxy/replies.ts';
import { ChangeWaiter } from '../../operator/proxy/wait-for-change.ts';
import { Workloads } from '../../operator/proxy/workloads.ts';
import { createLogger } from '../../operator/telemetry/log.ts';
import { FakeTimers } from '../fakes/timers.ts';
import { FakeSnapshots, FakeTokenSource, issued } from '../unit/proxy/support.ts';
import { Bypass, judgeQuestion, questionBytes } from './judge.ts';
import { Visible, type SeenReply } from './judge-reply.ts';
import { countDenied, type Tally } from './memory.ts';
import { referenceFor, type Reference, type World } from './reference.ts';
import type { FuzzRequest } from './requests.ts';
import { answerOfVm } from './vm.ts';
import { subjectOf } from './worlds.ts';

/** What is on trial; a test plants bugs in it. */
export type MakeHandler = (parts: HandlerParts, world: World) => Pick<RequestHandler, 'handle'>;
export const shippedHandler: MakeHandler = (parts) => new RequestHandler(parts);

/** The node's real server. A question that must not be asked ends the case. */
export class JudgingUpstream implements Upstream {
  readonly #reference: Reference;
  readonly #platform: World['platform'];

  constructor(reference: Reference, platform: World['platform']) {
    this.#reference = reference;
    this.#platform = platform;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is to be a rejection
  async get({ target }: UpstreamRequest): Promise<UpstreamReply> {
    if (this.#platform !== 'GCE') throw new Bypass(`a server that is not there is asked ${target}`);
    return { kind: 'answered', ...answerOfVm(judgeQuestion(questionBytes(target), this.#reference)) };
  }
}

const logger = createLogger({ component: 'proxy', destination: { write: () => undefined } });
const address = '10.0.0.7';

/** One pod of one world on a node of its own. */
export class HandlerStage {
  readonly #visible: Visible;
  readonly #handler: Pick<RequestHandler, 'handle'>;
  readonly #timers = new FakeTimers();
  readonly #broker: TokenBroker;
  /** Kept for all its requests, as clients do. One that is ending waits for no change. */
  readonly #connection: Connection = { address, pod: undefined, ending: AbortSignal.abort(), last: undefined };

  constructor(world: World, make: MakeHandler) {
    const reference = referenceFor(world);
    this.#visible = new Visible(world, reference);
    const { workload, settings, policies } = subjectOf(world);
    const snapshots = new FakeSnapshots();
    const pod = { ...workload, uid: 'pod-1' as PodUid, ips: [address], policies: policies.map(({ uid }) => uid) };
    snapshots.set({ settings, policies, workloads: [pod] });
    const workloads = new Workloads(snapshots);
    const timers = this.#timers;
    const source = new FakeTokenSource();
    source.policy = (_pod, { kind }) => issued(`own-${kind}`, timers.now() + 3_600_000);
    this.#broker = new TokenBroker(workloads, { source, timers, random: () => 0.5, logger });
    this.#broker.start();
    const hash = (text: string) => createHash('sha256').update(text).digest('hex') as ContentHash;
    const upstream = new JudgingUpstream(reference, world.platform);
    const parts: HandlerParts = {
      identifier: new Identifier(workloads, timers),
      broker: this.#broker,
      changes: new ChangeWaiter(workloads, timers),
      timers,
      hash,
      denials: new DenialLog(logger, timers),
      decisions: new DecisionCounter({ report: () => undefined }, timers),
      hosts: metadataHosts,
      passThrough: new PassThrough({ upstream, timers, hash }),
    };
    this.#handler = make(parts, world);
  }

  /** One case. Throws Bypass, or what an assertion throws. */
  async try({ raw, honest }: FuzzRequest, tally: Tally): Promise<void> {
    tally.cases += 1;
    // A source may cause a log line again, and ask for another token.
    this.#timers.jump(logRefillMs);
    const reply = await this.#handler.handle(raw, this.#connection);
    const seen = seenReply(reply);
    count(tally, seen);
    if (seen.status === 200) this.#visible.judgeLeaks(seen.body);
    if (honest === undefined) return;
    tally.honest += 1;
    if (this.#visible.judgeHonest(honest, seen, isJson(reply))) tally.honestServed += 1;
  }

  close(): void {
    this.#broker.close();
  }
}

export function count(tally: Tally, { status, code }: SeenReply): void {
  if (status === 200 || status === 301) tally.served += 1;
  else countDenied(tally, code ?? String(status));
}

function seenReply({ status, headers, body }: Reply): SeenReply {
  const code = headers.indexOf('X-Metaveil-Code');
  return { status, code: code === -1 ? undefined : headers[code + 1], body };
}

function isJson({ headers }: Reply): boolean {
  return headers.includes('application/json');
}
