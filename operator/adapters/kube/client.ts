import type { KubeConfig } from '@kubernetes/client-node';
import { MetaveilError } from '../../core/errors.ts';
import { errorOfFailure } from './failure.ts';
import { Transport, type ApiRequest, type TransportOptions } from './transport.ts';

/** A request whose body is still a value. */
export type ApiCall = Omit<ApiRequest, 'body'> & { readonly body?: object };

/**
 * Access to one API server. The library supplies kubeconfig, credentials and certificates; requests are plain JSON of our
 * own, because its generated classes drop fields they do not know, open a connection per call, know no deadline, and throw
 * errors that quote whole replies.
 */
export class KubeClient {
  readonly kubeConfig: KubeConfig;
  readonly transport: Transport;

  constructor(options: TransportOptions) {
    this.kubeConfig = options.kubeConfig;
    this.transport = new Transport(options);
  }

  /**
   * Sends a request and returns the parsed reply.
   *
   * @throws {MetaveilError} kubernetes-*, deadline-exceeded, invalid-configuration (no credentials)
   */
  async request(call: ApiCall): Promise<unknown> {
    const { body, ...rest } = call;
    const reply = await this.transport.send({ ...rest, ...(body !== undefined && { body: JSON.stringify(body) }) });
    const what = `${call.method} ${call.path}`;
    switch (reply.kind) {
      case 'ok':
        return reply.value;
      case 'failed':
        throw errorOfFailure(what, reply.failure);
      case 'too-large':
        throw new MetaveilError('kubernetes-refused', `${what}: the reply has more than ${reply.maxBytes} bytes`);
    }
  }

  /** Breaks all connections, watches included. */
  async close(): Promise<void> {
    await this.transport.close();
  }
}

/** The reply of a call, or undefined if the object does not exist. */
export async function unlessNotFound<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof MetaveilError && error.code === 'kubernetes-not-found') return undefined;
    throw error;
  }
}
