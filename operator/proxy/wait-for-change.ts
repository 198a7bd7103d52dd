import type { CanonicalRequest } from '../core/request/canonical.ts';
import type { Timers } from '../core/time.ts';
import { planWait } from '../core/tree/wait.ts';
import { etagOf, type Reply } from './replies.ts';
import type { Workloads } from './workloads.ts';

/** The longest that one request waits, in ms, also when it asks for more: every request has an end of our own. */
const longestWaitMs = 300_000;

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
    const first = await answer();
    const etag = etagOf(first);
    const plan = etag === undefined ? undefined : planWait(request.query, etag);
    if (plan?.kind !== 'wait') return first;
    const deadline = this.#timers.now() + Math.min(plan.timeoutMs ?? longestWaitMs, longestWaitMs);
    let reply = first;
    while (etagOf(reply) === plan.etag && this.#timers.now() < deadline && !ending.aborted) {
      await this.#nextChange(reply, deadline, ending);
      reply = await answer();
    }
    return reply;
  }

  /** A new snapshot may conceal what is waited for, so it counts as a change like a new value. */
  #nextChange({ changed }: Reply, deadline: number, ending: AbortSignal): Promise<void> {
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
