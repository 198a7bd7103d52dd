import type { Hash } from '../core/brand.ts';
import { replacement, removal, type Expected } from '../core/redirect/batch.ts';
import type { Instance } from '../core/redirect/instance.ts';
import { contentText, readListing, type ListedTable } from '../core/redirect/listing.ts';
import type { FailureCode, InterceptMessage, ProxyMessage } from '../core/redirect/messages.ts';
import type { RedirectPlan, RedirectSettings } from '../core/redirect/plan.ts';
import { tableOf } from '../core/redirect/table.ts';
import { nextStep, removalStep, verify, type Verdict } from '../core/redirect/verify.ts';
import type { Timers } from '../core/time.ts';
import type { Logger } from '../telemetry/log.ts';
import { OverLimitLog } from './over-limit-log.ts';
import type { KernelRules, TargetProbe, ToolFailure } from './ports.ts';

/** Together with the time nft takes, a change by somebody else is repaired within a second. */
const checkEveryMs = 750;
/** While nothing helps, for example because the table is somebody else's. */
const longestPauseMs = 10_000;
/** A newer instance may restart in place; only after this many checks in a row is it taken for dead. */
const deadAfterChecks = 5;

export interface InterceptorParts {
  readonly settings: RedirectSettings;
  readonly kernel: KernelRules;
  readonly probe: TargetProbe;
  readonly timers: Timers;
  readonly hash: Hash;
  readonly logger: Logger;
  /** Tells the proxy; called only when the state has changed or the proxy has asked anew. */
  readonly report: (message: InterceptMessage) => void;
}

type Found = { readonly kind: 'found'; readonly table: ListedTable | undefined } | Failure;

interface Failure {
  readonly kind: 'failed';
  readonly code: FailureCode;
  readonly reason: string;
}

/**
 * Keeps the kernel's table as the proxy last asked for. Nothing is done before the proxy's first word, and nothing is
 * undone without `release`: when the proxy or this process dies, the rules stay and pods find a closed door.
 */
export class Interceptor {
  readonly #parts: InterceptorParts;
  readonly #overLimit: OverLimitLog;
  #instance: Instance | undefined;
  #plan: RedirectPlan | undefined;
  #reported: InterceptMessage | undefined;
  /** Whether the current plan was in place before: what is missing then was taken away by somebody. */
  #wasInPlace = false;
  /** Another instance's checks without an answer, in a row. */
  #silentChecks = 0;
  /** What was read from the last listing: most checks see the same text again. */
  #lastListing: { readonly text: string; readonly found: Found } | undefined;
  #failures = 0;
  #work: Promise<void> = Promise.resolve();
  #cancelCheck: () => void = () => undefined;

  constructor(parts: InterceptorParts) {
    this.#parts = parts;
    this.#overLimit = new OverLimitLog(parts.logger, parts.timers);
  }

  /** Takes the proxy's word. Resolves when the kernel is as asked, or it is known why not. */
  receive(message: ProxyMessage): Promise<void> {
    // The proxy may be a new process that knows nothing of earlier reports.
    this.#reported = undefined;
    switch (message.kind) {
      case 'instance':
        this.#instance = message.instance;
        return this.#work;
      case 'serving':
        return this.#intend({ phase: 'serving', port: message.port });
      case 'draining':
        return this.#plan === undefined ? this.#work : this.#intend({ phase: 'draining', port: this.#plan.port });
      case 'release':
        return this.#release();
      case 'keep':
        return this.#work;
    }
  }

  /** Ends the checks; the table stays as it is. */
  async close(): Promise<void> {
    this.#plan = undefined;
    this.#cancelCheck();
    await this.#work;
  }

  #intend({ phase, port }: Pick<RedirectPlan, 'phase' | 'port'>): Promise<void> {
    if (this.#instance === undefined) return this.#work;
    this.#plan = { ...this.#parts.settings, instance: this.#instance, phase, port };
    this.#wasInPlace = false;
    this.#failures = 0;
    return this.#check();
  }

  #release(): Promise<void> {
    this.#plan = undefined;
    this.#cancelCheck();
    return this.#inTurn(async () => this.#tell(await this.#remove()));
  }

  /** One thing at a time: two batches in flight would each be based on what the other changes. */
  #inTurn(task: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(task);
    return this.#work;
  }

  #check(): Promise<void> {
    this.#cancelCheck();
    return this.#inTurn(async () => {
      const plan = this.#plan;
      if (plan === undefined) return;
      const outcome = await this.#converge(plan);
      if (this.#plan !== plan) return;
      this.#failures = outcome.kind === 'failed' ? this.#failures + 1 : 0;
      this.#tell(outcome);
      const pause = Math.min(checkEveryMs * 2 ** Math.min(this.#failures, 10), longestPauseMs);
      this.#cancelCheck = this.#parts.timers.after(pause, () => void this.#check());
    });
  }

  async #converge(plan: RedirectPlan): Promise<InterceptMessage> {
    const found = await this.#find();
    if (found.kind === 'failed') return this.#failed(found);
    const verdict = verify(found.table, plan);
    const step = nextStep(verdict, plan, this.#silentChecks >= deadAfterChecks);
    switch (step.kind) {
      case 'none':
        this.#overLimit.read(found.table?.counted ?? 0);
        return this.#inPlace(plan);
      case 'replace':
        return this.#replace(plan, step.expected, verdict);
      case 'stand-by':
        await this.#watchOther(step.port);
        return { kind: 'superseded' };
      case 'refuse':
        return this.#failed({ kind: 'failed', code: 'foreign-owner', reason: 'the table has another owner' });
    }
  }

  async #replace(plan: RedirectPlan, expected: Expected, verdict: Verdict): Promise<InterceptMessage> {
    const { kernel, logger } = this.#parts;
    const loaded = await kernel.load(replacement(plan, expected));
    if (loaded.kind === 'failed') return this.#failed(loaded);
    await this.#cutFlows();
    const found = await this.#find();
    if (found.kind === 'failed') return this.#failed(found);
    if (verify(found.table, plan).kind !== 'in-place') {
      return this.#failed({ kind: 'failed', code: 'not-verified', reason: 'nft lists something else than was loaded' });
    }
    if (this.#wasInPlace) logger.warn('rules-repaired', { reason: verdict.kind });
    else logger.info('rules-applied', { address: String(plan.port), kind: plan.phase, reason: verdict.kind });
    return this.#inPlace(plan);
  }

  #inPlace(plan: RedirectPlan): InterceptMessage {
    this.#wasInPlace = true;
    this.#silentChecks = 0;
    return { kind: 'applied', hash: this.#parts.hash(contentText(tableOf(plan))) };
  }

  /** Rules refuse such packets anyway; without the entries the client's next connection works at once. */
  async #cutFlows(): Promise<void> {
    const { kernel, settings, logger } = this.#parts;
    const outcome = await kernel.cutFlows(settings.metadata);
    if (outcome.kind === 'failed') logger.warn('flows-not-cut', { code: outcome.code, reason: outcome.reason });
    else if (outcome.count > 0) logger.info('flows-cut', { count: outcome.count });
  }

  async #watchOther(port: number): Promise<void> {
    const { settings, probe } = this.#parts;
    const answers = settings.ports.includes(port) && (await probe(port));
    this.#silentChecks = answers ? 0 : this.#silentChecks + 1;
    this.#wasInPlace = false;
  }

  async #find(): Promise<Found> {
    const listed = await this.#parts.kernel.list();
    if (listed.kind === 'failed') return listed;
    if (listed.kind === 'missing') return { kind: 'found', table: undefined };
    if (this.#lastListing?.text !== listed.text) this.#lastListing = { text: listed.text, found: read(listed.text) };
    return this.#lastListing.found;
  }

  async #remove(): Promise<InterceptMessage> {
    const { kernel, settings, logger } = this.#parts;
    if (this.#instance === undefined) return { kind: 'removed' };
    const found = await this.#find();
    if (found.kind === 'failed') return this.#failed(found);
    const step = removalStep(found.table, settings.owner, this.#instance);
    if (step.kind === 'leave') logger.info('rules-left', { reason: step.reason });
    if (step.kind !== 'remove') return { kind: 'removed' };
    const loaded = await kernel.load(removal(step.handle));
    if (loaded.kind === 'failed') return this.#failed(loaded);
    logger.info('rules-removed');
    return { kind: 'removed' };
  }

  #failed({ code, reason }: Failure | ToolFailure): InterceptMessage {
    const isNew = this.#reported?.kind !== 'failed' || this.#reported.code !== code;
    if (isNew) this.#parts.logger.error('rules-failed', { code, reason });
    return { kind: 'failed', code };
  }

  #tell(message: InterceptMessage): void {
    if (isSame(this.#reported, message)) return;
    if (message.kind === 'superseded') this.#parts.logger.info('rules-superseded');
    this.#reported = message;
    this.#parts.report(message);
  }
}

function read(text: string): Found {
  const listing = readListing(text);
  if (listing.kind === 'table') return { kind: 'found', table: listing.table };
  return { kind: 'failed', code: 'listing-unreadable', reason: listing.reason };
}

function isSame(one: InterceptMessage | undefined, other: InterceptMessage): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
