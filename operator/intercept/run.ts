import type { Hash } from '../core/brand.ts';
import type { ProxyMessage } from '../core/redirect/messages.ts';
import type { RedirectSettings } from '../core/redirect/plan.ts';
import type { Timers } from '../core/time.ts';
import type { Logger } from '../telemetry/log.ts';
import { Interceptor } from './interceptor.ts';
import type { KernelRules, TargetProbe } from './ports.ts';
import { ProxyConnection } from './proxy-connection.ts';

export interface InterceptOptions {
  readonly settings: RedirectSettings;
  readonly socketPath: string;
  readonly kernel: KernelRules;
  readonly probe: TargetProbe;
  readonly timers: Timers;
  readonly hash: Hash;
  readonly logger: Logger;
  /** Aborts when the process is asked to end. */
  readonly ended: AbortSignal;
}

/**
 * How long to wait for the proxy's last word: both are asked to end at the same time, and only the proxy learns whether
 * the node is released. Shorter than the pod's grace period of 30 s.
 */
const lastWordMs = 25_000;

type LastWord = 'removed' | 'kept';

/** Serves the proxy until `ended`, then until the proxy has said `release` or `keep`, or is gone. */
export async function runIntercept(options: InterceptOptions): Promise<void> {
  const { socketPath: path, settings, timers, logger, ended } = options;
  const { ports } = settings;
  const end = new Ending(ended);
  const onMessage = (message: ProxyMessage): void => void obey(message);
  const onClosed = (): void => end.proxyGone();
  const connection = new ProxyConnection({ path, ports, timers, logger, onMessage, onClosed });
  const interceptor = new Interceptor({ ...options, report: (message) => connection.send(message) });
  const obey = async (message: ProxyMessage): Promise<void> => {
    await interceptor.receive(message);
    end.heard(message);
  };
  logger.info('intercept-started', { address: path });
  const kind = await end.reached(timers);
  await interceptor.close();
  await connection.close();
  logger.info('intercept-stopped', { kind });
}

/** When to end, and with what. A word that the proxy took back by serving again does not count. */
class Ending {
  readonly #ended: AbortSignal;
  readonly #last = Promise.withResolvers<LastWord>();
  #word: LastWord | undefined;

  constructor(ended: AbortSignal) {
    this.#ended = ended;
  }

  heard(message: ProxyMessage): void {
    if (message.kind === 'serving') this.#word = undefined;
    if (message.kind === 'release') this.#word = 'removed';
    if (message.kind === 'keep') this.#word = 'kept';
    this.#settle();
  }

  proxyGone(): void {
    if (this.#ended.aborted) this.#last.resolve('kept');
  }

  async reached(timers: Timers): Promise<LastWord> {
    await aborted(this.#ended);
    this.#settle();
    const cancel = timers.after(lastWordMs, () => this.#last.resolve('kept'));
    const word = await this.#last.promise;
    cancel();
    return word;
  }

  #settle(): void {
    if (this.#ended.aborted && this.#word !== undefined) this.#last.resolve(this.#word);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
