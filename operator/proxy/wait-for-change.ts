import type { CanonicalRequest } from '../core/request/canonical.ts';
import type { Timers } from '../core/time.ts';
import { planWait } from '../core/tree/wait.ts';
import { etagOf, type ChangeSignal, type Reply } from './replies.ts';
import type { Workloads } from './workloads.ts';

/** The longest that one request waits, in ms, also when it asks for more: every request has an end of our own. */
const longestWaitMs = 300_000;

/** All that a waiting request keeps: answers may be large documents, and a pod may have many requests wait. */
interface Wait {
  readonly etag: string;
  /** ms since the epoch. */
  readonly deadline: number;
}

type Look =
  | { readonly kind: 'answer'; readonly reply: Reply }
  | { readonly kind: 'wait'; readonly wait: Wait; readonly changed: ChangeSignal | undefined };

/** `wait_for_change`: an answer is held back until its ETag is another one. */
export class ChangeWaiter {
  readonly #workloads: Workloads;
  readonly #timers: Timers;

  constructor(workloads: Workloads, timers: Timers) {
    this.#workloads = workloads;
    this.#timers = timers;
  }

  /**
   * Answers when the value differs from the one the request knows, when its time is over, or when `ending` aborts.
   * Each time the whole answer is decided anew, so a value that gets concealed meanwhile ends in its denial.
   */
  async answerAfterChange(
    request: CanonicalRequest,
    ending: AbortSignal,
    answer: () => Reply | Promise<Reply>,
  ): Promise<Reply> {
    let wait: Wait | undefined;
    for (;;) {
      const look = this.#look(await answer(), request, wait, ending);
      if (look.kind === 'answer') return look.reply;
      wait = look.wait;
      await this.#nextChange(look.changed, wait.deadline, ending);
    }
  }

  /** Whether this reply is the one to send. What goes on waiting keeps no part of it. */
  #look(reply: Reply, request: CanonicalRequest, before: Wait | undefined, ending: AbortSignal): Look {
    const etag = etagOf(reply);
    const wait = before ?? this.#begin(request, etag);
    const isOver = wait === undefined || wait.etag !== etag || this.#timers.now() >= wait.deadline || ending.aborted;
    return isOver ? { kind: 'answer', reply } : { kind: 'wait', wait, changed: reply.changed };
  }

  #begin({ query }: CanonicalRequest, etag: string | undefined): Wait | undefined {
    const plan = etag === undefined ? undefined : planWait(query, etag);
    if (plan?.kind !== 'wait') return undefined;
    const timeoutMs = Math.min(plan.timeoutMs ?? longestWaitMs, longestWaitMs);
    return { etag: plan.etag, deadline: this.#timers.now() + timeoutMs };
  }

  /** A new snapshot may conceal what is waited for, so it counts as a change like a new value. */
  #nextChange(changed: ChangeSignal | undefined, deadline: number, ending: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const over = new AbortController();
      const finish = (): void => {
        over.abort();
        unsubscribe();
        cancel();
        ending.removeEventListener('abort', finish);
        resolve();
      };
      const unsubscribe = this.#workloads.onChange(finish);
      const cancel = this.#timers.after(deadline - this.#timers.now(), finish);
      ending.addEventListener('abort', finish, { once: true });
      if (changed !== undefined) void changed(deadline - this.#timers.now(), over.signal).then(finish);
    });
  }
}
