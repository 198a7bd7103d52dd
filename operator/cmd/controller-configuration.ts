/** Flags and environment of the controller. */
import { parseArgs } from 'node:util';
import { MetaveilError } from '../core/errors.ts';
import { defaultNamespace, nodeApiPort } from '../core/names.ts';

export interface ControllerConfiguration {
  /** Absent in a pod. */
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace: string;
  readonly podName: string;
  readonly listen: HostPort;
  readonly healthListen: HostPort;
  /** Absent: metrics are not served. */
  readonly metricsListen?: HostPort;
  /** `host:port` at which proxies reach this very replica. */
  readonly advertise: string;
  /** Absent: the ClusterIP of the controller's Service. */
  readonly nodeApiUrl?: string;
  readonly image: string;
  readonly allowInsecureEndpoints: boolean;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

const flags = {
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
  namespace: { type: 'string' },
  listen: { type: 'string' },
  'health-listen': { type: 'string' },
  'metrics-listen': { type: 'string' },
  advertise: { type: 'string' },
  'node-api-url': { type: 'string' },
  image: { type: 'string' },
  'allow-insecure-endpoints': { type: 'boolean' },
} as const;

/** Throws invalid-configuration, naming the flag. */
export function readConfiguration(argv: readonly string[], env: Environment): ControllerConfiguration {
  const given = { ...ofPod(env), ...parse(argv) };
  const listen = hostPort('listen', given.listen);
  return {
    ...optional('kubeconfig', given.kubeconfig),
    ...optional('context', given.context),
    ...optional('nodeApiUrl', given['node-api-url']),
    // As controllers do: 0 turns it off.
    ...(given['metrics-listen'] !== '0' && { metricsListen: hostPort('metrics-listen', given['metrics-listen']) }),
    namespace: given.namespace,
    podName: env['POD_NAME'] ?? 'metaveil-controller',
    listen,
    healthListen: hostPort('health-listen', given['health-listen']),
    advertise: given.advertise ?? `${given.podIP}:${listen.port}`,
    image: given.image,
    allowInsecureEndpoints: given['allow-insecure-endpoints'] ?? false,
  };
}

/** What the manifest passes in; a flag wins over it. */
function ofPod(env: Environment) {
  const podIP = env['POD_IP'] ?? '127.0.0.1';
  return {
    podIP: podIP.includes(':') ? `[${podIP}]` : podIP,
    namespace: env['POD_NAMESPACE'] ?? defaultNamespace,
    image: env['METAVEIL_IMAGE'] ?? 'metaveil',
    listen: `[::]:${nodeApiPort}`,
    'health-listen': '[::]:8081',
    'metrics-listen': '[::]:8080',
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: flags, strict: true }).values;
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'flags cannot be read';
    throw new MetaveilError('invalid-configuration', reason, { cause: error });
  }
}

function optional<K extends string>(key: K, value: string | undefined): Partial<Record<K, string>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, string>);
}

function hostPort(flag: string, text: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new MetaveilError('invalid-configuration', `--${flag} ${JSON.stringify(text)} is not ADDRESS:PORT`);
  }
  return { host: match[1] ?? match[2] ?? '', port };
}
