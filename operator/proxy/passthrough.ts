/** The way of a permitted request to the node's real metadata server and back: bounded in time, size and number. */
import type { Hash, PodUid } from '../core/brand.ts';
import { SharedCounts, type Shares } from '../core/counting/share.ts';
import { pause, type Timers } from '../core/time.ts';
import { Asks } from './asks.ts';
import type { Upstream, UpstreamReply, UpstreamRequest } from './ports.ts';
import type { ChangeSignal } from './replies.ts';
import { answerFromUpstream, redirectToDirectory, type PassedRequest, type UpstreamAnswer } from './upstream-answer.ts';
import { planUpstream, waitTarget, type UpstreamQuestion } from './upstream-question.ts';

/** Until one reply is there, in ms. */
export const askMs = 2_500;
/**
 * How long a question is asked again while the server is away, in ms: host maintenance takes less than a second. As long
 * it waits for its turn.
 */
export const holdMs = 1_500;
const againMs = 250;
/** How often is asked anew where the server cannot be waited on, in ms. */
export const pollMs = 5_000;

/** All metadata of an instance and its project is smaller. */
const maxDocumentBytes = 4 << 20;
const maxCredentialBytes = 64 << 10;

/** Of one pod at a time; further ones wait. What comes back costs the proxy more than any other request. */
export const asksPerPod = 4;
/** Of one pod at a time: its abuse must not fill the way for others. */
export const waitsPerPod = 32;
/** Together fewer than there may be connections to the server; one is kept back for each pod of a node. */
export const asksAtOnce = 384;
const asks: Shares = { each: asksPerPod, all: asksAtOnce, few: 1, keptBack: 256 };
const waits: Shares = { each: waitsPerPod, all: 320, few: 1, keptBack: 256 };

export interface PassThroughParts {
  readonly upstream: Upstream;
  readonly timers: Timers;
  readonly hash: Hash;
}

export interface PassedAnswer {
  /** `busy`: the pod's other questions took too long. */
  readonly answer: UpstreamAnswer | { readonly kind: 'busy' };
  /** Absent for what cannot be waited for. */
  readonly changed?: ChangeSignal;
}

export class PassThrough {
  readonly #parts: PassThroughParts;
  readonly #asks: Asks;
  readonly #waiting = new SharedCounts<PodUid>(waits);
  /** Documents under way, by what was asked. They are large, and all pods ask for the same few. */
  readonly #documents = new Map<string, Promise<UpstreamReply>>();

  constructor(parts: PassThroughParts) {
    this.#parts = parts;
    this.#asks = new Asks(asks, parts.timers);
  }

  /** Asks for what the permit names and filters the reply. Never throws; ends within `askMs` and twice `holdMs` together. */
  async answer(passed: PassedRequest): Promise<PassedAnswer> {
    const { permit, request } = passed;
    const question = planUpstream(permit, request);
    if (question.kind === 'nothing') return { answer: { kind: 'not-found' } };
    if (question.kind === 'redirect') return { answer: redirectToDirectory(passed, this.#parts.hash) };
    const { uid } = permit.workload;
    if (!(await this.#asks.turn(uid, holdMs))) return { answer: { kind: 'busy' } };
    try {
      const reply = await (question.form === 'document' ? this.#document(question) : this.#ask(question));
      if (reply.kind === 'unavailable') return { answer: reply };
      const answer = answerFromUpstream(passed, question.form, reply, this.#parts.hash);
      // Kept for as long as a request waits: it must not hold on to the reply.
      const { etag } = reply;
      return { answer, changed: (timeoutMs, signal) => this.#change(uid, question, etag, { timeoutMs, signal }) };
    } finally {
      this.#asks.done(uid);
    }
  }

  /** One for all who ask at the same time: each gets what its own policies leave of it. */
  #document(question: UpstreamQuestion): Promise<UpstreamReply> {
    const { target } = question;
    const underWay = this.#documents.get(target);
    if (underWay !== undefined) return underWay;
    const asked = this.#ask(question).finally(() => this.#documents.delete(target));
    this.#documents.set(target, asked);
    return asked;
  }

  async #ask({ form, target }: UpstreamQuestion): Promise<UpstreamReply> {
    const { timers } = this.#parts;
    const until = timers.now() + holdMs;
    const maxBytes = form === 'token' || form === 'identity' ? maxCredentialBytes : maxDocumentBytes;
    for (;;) {
      const reply = await this.#once({ target, maxBytes }, askMs);
      if (reply.kind === 'answered' && !isPassing(reply.status)) return reply;
      if (timers.now() + againMs > until) return { kind: 'unavailable' };
      await pause(timers, againMs);
    }
  }

  async #once(request: UpstreamRequest, deadlineMs: number, ending?: AbortSignal): Promise<UpstreamReply> {
    const over = new AbortController();
    const cancel = this.#parts.timers.after(deadlineMs, () => over.abort());
    try {
      return await this.#parts.upstream.get(
        request,
        ending === undefined ? over.signal : AbortSignal.any([over.signal, ending]),
      );
    } finally {
      cancel();
    }
  }

  /** Resolves when the server says that its answer is another one, or when it is time to look. */
  async #change(uid: PodUid, question: UpstreamQuestion, etag: string | undefined, how: ChangeWait): Promise<void> {
    const { timeoutMs, signal } = how;
    if (etag !== undefined && this.#waiting.take(uid)) {
      try {
        const target = waitTarget(question, etag, Math.max(1, Math.ceil(timeoutMs / 1000)));
        // When metadata changes all waits end at once; what there is now is asked for afterwards.
        const reply = await this.#once({ target, maxBytes: maxDocumentBytes, withoutBody: true }, timeoutMs, signal);
        if (reply.kind === 'answered' && reply.status === 200 && reply.etag !== etag) return;
      } finally {
        this.#waiting.giveBack(uid);
      }
    }
    // A server that is away, or does not wait, must not be asked in a tight loop.
    await pause(this.#parts.timers, pollMs, signal);
  }
}

interface ChangeWait {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** What soon goes away by itself. */
function isPassing(status: number): boolean {
  return status === 429 || status >= 500;
}
