import {
  AuthenticationV1Api,
  CoordinationV1Api,
  CoreV1Api,
  createConfiguration,
  ServerConfiguration,
  type Configuration,
  type KubeConfig,
} from '@kubernetes/client-node';
import { MetaveilError } from '../../core/errors.ts';
import { errorOfFailure } from './failure.ts';
import { httpLibrary, type CallOptions } from './http-library.ts';
import { Transport, type ApiRequest, type TransportOptions } from './transport.ts';

/**
 * Access to one API server. Objects with fixed types go through the library's generated APIs; objects of any type, lists
 * and watches through `transport`, because the library would drop fields that it does not know. Both share one connection
 * pool, one way of errors and one set of deadlines.
 */
export class KubeClient {
  readonly kubeConfig: KubeConfig;
  readonly transport: Transport;
  readonly core: CoreV1Api;
  readonly authentication: AuthenticationV1Api;
  readonly coordination: CoordinationV1Api;

  constructor(options: TransportOptions) {
    this.kubeConfig = options.kubeConfig;
    this.transport = new Transport(options);
    const configuration = createConfiguration({
      baseServer: new ServerConfiguration(this.transport.server, {}),
      httpApi: httpLibrary(this.transport),
    });
    this.core = new CoreV1Api(configuration);
    this.authentication = new AuthenticationV1Api(configuration);
    this.coordination = new CoordinationV1Api(configuration);
  }

  /** Options for one call of a generated API: the library itself knows neither deadlines nor lanes. */
  call(options: CallOptions): Pick<Configuration, 'httpApi'> {
    return { httpApi: httpLibrary(this.transport, options) };
  }

  /**
   * Sends a request and returns the parsed reply.
   *
   * @throws {MetaveilError} kubernetes-*, deadline-exceeded
   */
  async request(call: ApiRequest): Promise<unknown> {
    const reply = await this.transport.send(call);
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
