/** Requests to whichever replica leads: TLS against our own CA, the pod's token, and the way from a follower. */
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { MetaveilError } from '../../core/errors.ts';
import type { Timers } from '../../core/time.ts';
import { readBody } from '../body.ts';
import { withDeadline } from '../deadline.ts';
import { decodeJson } from '../wire/decode.ts';
import type { Decoder } from '../wire/decode.ts';
import { addressForm, decodeRefusal, refusals } from '../wire/errors.ts';
import type { Refusal } from '../wire/errors.ts';
import { methods } from '../wire/methods.ts';
import type { MethodName } from '../wire/methods.ts';
import { formatRange, protocolHeader, supportedProtocols, wireLimits } from '../wire/protocol.ts';
import type { ProtocolRange } from '../wire/protocol.ts';
import type { Credentials } from './ports.ts';

export interface TransportOptions {
  /** `host:port` of the Service; the host is its ClusterIP, because the proxy has no cluster DNS. */
  readonly service: string;
  /** Name in the server's certificate, for the Service and for every replica. */
  readonly serverName: string;
  readonly credentials: Credentials;
  readonly clock: Timers;
  /** Until the reply begins, in ms; default 10,000. */
  readonly deadlineMs?: number;
  /** For tests of other versions. */
  readonly protocols?: ProtocolRange;
}

export interface Outgoing {
  readonly method: MethodName;
  /** Starts with `?`, or is empty. */
  readonly query?: string;
  readonly body?: string;
}

/** From a follower to the leader, and back to the Service once when that one is gone. */
const maxHops = 4;
const maxSockets = 32;

export class Transport {
  readonly #options: TransportOptions;
  #leader: string | undefined;
  #tls: { readonly ca: string; readonly agent: Agent } | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** Where the next request goes. */
  get address(): string {
    return this.#leader ?? this.#options.service;
  }

  /** From now on requests go there, until it cannot be reached. */
  follow(leader: string | undefined): void {
    this.#leader = leader;
  }

  /**
   * One call with a bounded JSON reply. Throws nodeapi-unavailable, nodeapi-refused, deadline-exceeded, or the reason
   * of `signal`.
   */
  async call<T>(outgoing: Outgoing, decoder: Decoder<T>, signal?: AbortSignal): Promise<T> {
    const { clock, deadlineMs = 10_000 } = this.#options;
    const work = async (ending: AbortSignal): Promise<T> => {
      const response = await this.#open(outgoing, ending);
      const body = await readBody(response, wireLimits.replyBytes);
      if (body.kind !== 'text') {
        response.destroy();
        throw unavailable(`reply to ${outgoing.method} ${body.kind}`);
      }
      const decoded = decodeJson(decoder, body.text);
      if (decoded.kind === 'valid') return decoded.value;
      throw unavailable(`reply to ${outgoing.method}: ${decoded.at}: ${decoded.problem}`);
    };
    return withDeadline(clock, deadlineMs, work, signal);
  }

  /** A call whose reply is a stream: the reply as soon as it begins; `signal` ends it. Throws like `call`. */
  async stream(outgoing: Outgoing, signal: AbortSignal): Promise<IncomingMessage> {
    const { clock, deadlineMs = 10_000 } = this.#options;
    const begun = new AbortController();
    try {
      // The deadline holds until the reply begins, `signal` beyond that.
      const ending = AbortSignal.any([signal, begun.signal]);
      return await withDeadline(clock, deadlineMs, () => this.#open(outgoing, ending), signal);
    } catch (error) {
      begun.abort();
      throw error;
    }
  }

  async #open(outgoing: Outgoing, signal: AbortSignal): Promise<IncomingMessage> {
    for (let hop = 0; hop < maxHops; hop += 1) {
      const address = this.address;
      const response = await this.#reach(outgoing, address, signal);
      if (response?.statusCode === 200) return response;
      if (response !== undefined) await this.#refused(response, address);
    }
    throw unavailable('no replica leads');
  }

  /** Undefined when the leader that was named cannot be reached: then the Service is asked again. */
  async #reach(outgoing: Outgoing, address: string, signal: AbortSignal): Promise<IncomingMessage | undefined> {
    try {
      return await this.#send(outgoing, address, signal);
    } catch (error) {
      if (signal.aborted || address === this.#options.service) throw error;
      this.#forget(address);
      return undefined;
    }
  }

  /**
   * Returns only when another address is worth a try. What counts is where this very request went: meanwhile another
   * one may have found the leader.
   */
  async #refused(response: IncomingMessage, address: string): Promise<void> {
    const { code, message, leader } = await readRefusal(response);
    if (code === 'not-leader' && leader !== undefined && leader !== address) {
      this.#leader = leader;
      return;
    }
    if (code === 'not-leader') this.#forget(address);
    const retryable = refusals[code].retryable;
    throw new MetaveilError(retryable ? 'nodeapi-unavailable' : 'nodeapi-refused', `${code}: ${message}`);
  }

  #forget(leader: string): void {
    if (this.#leader === leader) this.#leader = undefined;
  }

  async #send(outgoing: Outgoing, address: string, signal: AbortSignal): Promise<IncomingMessage> {
    const { credentials } = this.#options;
    const [token, ca] = await Promise.all([credentials.token(), credentials.caBundle()]);
    const attempt = () => this.#exchange(outgoing, { address, token, agent: this.#agentFor(ca) }, signal);
    const first = await attempt();
    // The server closed a kept connection at the moment it was used again; every method may be repeated.
    const answer = first === 'stale-connection' ? await attempt() : first;
    if (answer === 'stale-connection') throw unavailable('connection reset');
    return answer;
  }

  #exchange(
    { method, query = '', body }: Outgoing,
    { address, token, agent }: { readonly address: string; readonly token: string; readonly agent: Agent },
    signal: AbortSignal,
  ): Promise<IncomingMessage | 'stale-connection'> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage | 'stale-connection'>();
    const { serverName, protocols = supportedProtocols } = this.#options;
    const { host, port } = splitAddress(address);
    const request = httpsRequest({
      ...{ host, port, agent, signal, servername: serverName },
      method: methods[method].verb,
      path: methods[method].path + query,
      headers: {
        host: serverName,
        authorization: `Bearer ${token}`,
        [protocolHeader]: formatRange(protocols),
        ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      },
    });
    request.on('response', resolve);
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (request.reusedSocket && error.code === 'ECONNRESET') resolve('stale-connection');
      else reject(signal.aborted ? asError(signal.reason) : unavailable(error.code ?? error.name, error));
    });
    request.end(body);
    return promise;
  }

  /** Connections made under one CA bundle are not used under the next. */
  #agentFor(ca: string): Agent {
    if (this.#tls?.ca !== ca)
      this.#tls = { ca, agent: new Agent({ ca, keepAlive: true, maxSockets, minVersion: 'TLSv1.3' }) };
    return this.#tls.agent;
  }
}

async function readRefusal(response: IncomingMessage): Promise<Refusal> {
  const body = await readBody(response, wireLimits.replyBytes);
  if (body.kind === 'too-large') response.destroy();
  const decoded = body.kind === 'text' ? decodeJson(decodeRefusal, body.text) : undefined;
  if (decoded?.kind === 'valid') return decoded.value;
  throw unavailable(`status ${response.statusCode ?? 0}`);
}

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  if (!addressForm.test(address)) throw new MetaveilError('invalid-configuration', 'not host:port: node API address');
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/gu, ''), port: Number(address.slice(colon + 1)) };
}

function unavailable(why: string, cause?: unknown): MetaveilError {
  return new MetaveilError('nodeapi-unavailable', `node API: ${why}`, { cause });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new MetaveilError('deadline-exceeded', 'ended');
}
