import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { MetaveilError } from '../core/errors.ts';
import { controllerService, defaultNamespace, metadataAddresses, proxyPorts } from '../core/names.ts';

/** How one proxy process is set up. */
export interface ProxyConfiguration {
  /** `host:port` of the node API's Service; the host is its ClusterIP. */
  readonly service: string;
  /** Name in the node API's certificate. */
  readonly serverName: string;
  readonly caFile: string;
  readonly tokenFile: string;
  /** An emptyDir for the last good snapshot. */
  readonly stateDir: string;
  /** Directory shared with intercept; '' where nothing redirects pods. */
  readonly interceptDir: string;
  /** Addresses of the node; the proxy listens on each. At least one. */
  readonly hostIPs: readonly string[];
  /** The first that is free is taken: during a rolling update two instances share the host. At least one. */
  readonly ports: readonly number[];
  readonly clusterDomain: string;
  /** The node's real metadata server, asked on platform GCE only. */
  readonly upstream: { readonly host: string; readonly port: number };
  /** How long requests may take to finish after SIGTERM, in ms. */
  readonly drainMs: number;
}

interface Setting {
  readonly env: string;
  readonly fallback?: string;
}

/** Each is a flag, or an environment variable, or has a default; the flag wins. */
const settings = {
  'node-api-url': { env: 'METAVEIL_NODE_API_URL' },
  'node-api-server-name': {
    env: 'METAVEIL_NODE_API_SERVER_NAME',
    fallback: `${controllerService}.${defaultNamespace}.svc`,
  },
  'node-api-ca-file': { env: 'METAVEIL_NODE_API_CA_FILE' },
  'node-api-token-file': { env: 'METAVEIL_NODE_API_TOKEN_FILE' },
  'state-dir': { env: 'METAVEIL_STATE_DIR' },
  'intercept-dir': { env: 'METAVEIL_INTERCEPT_DIR' },
  'host-ip': { env: 'METAVEIL_HOST_IP' },
  ports: { env: 'METAVEIL_PROXY_PORTS', fallback: proxyPorts.join(',') },
  'cluster-domain': { env: 'METAVEIL_CLUSTER_DOMAIN', fallback: 'cluster.local' },
  upstream: { env: 'METAVEIL_UPSTREAM', fallback: `http://${metadataAddresses.GCE.ipv4[0]}` },
  'drain-seconds': { env: 'METAVEIL_DRAIN_SECONDS', fallback: '20' },
} as const satisfies Record<string, Setting>;

type SettingName = keyof typeof settings;
type Read = (name: SettingName) => string;

/** Reads flags and environment. Throws invalid-configuration, naming the flag and the variable. */
export function readConfiguration(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ProxyConfiguration {
  const flags = parseFlags(argv);
  const read: Read = (name) => {
    const { env: variable, fallback }: Setting = settings[name];
    const value = flags[name] ?? env[variable] ?? fallback;
    if (value === undefined || value === '') throw invalid(name, 'is not set');
    return value;
  };
  return {
    service: serviceOf(read),
    serverName: read('node-api-server-name'),
    caFile: read('node-api-ca-file'),
    tokenFile: read('node-api-token-file'),
    stateDir: read('state-dir'),
    interceptDir: flags['intercept-dir'] ?? env['METAVEIL_INTERCEPT_DIR'] ?? '',
    hostIPs: listOf('host-ip', read, (text) => (isIP(text) === 0 ? undefined : text)),
    ports: listOf('ports', read, portOf),
    clusterDomain: read('cluster-domain'),
    upstream: upstreamOf(read),
    drainMs: drainMsOf(read),
  };
}

function parseFlags(argv: readonly string[]): Readonly<Partial<Record<SettingName, string>>> {
  const options = Object.fromEntries(Object.keys(settings).map((name) => [name, { type: 'string' as const }]));
  try {
    return parseArgs({ args: [...argv], options, strict: true }).values;
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'flags cannot be read';
    throw new MetaveilError('invalid-configuration', reason, { cause: error });
  }
}

function serviceOf(read: Read): string {
  const url = URL.parse(read('node-api-url'));
  if (url?.protocol !== 'https:' || !isBare(url)) throw invalid('node-api-url', 'is not of the form https://HOST:PORT');
  return url.port === '' ? `${url.host}:443` : url.host;
}

function isBare({ pathname, search, hash, username, password }: URL): boolean {
  return pathname === '/' && [search, hash, username, password].every((part) => part === '');
}

/** An address and no name: nobody's DNS decides whom a node's metadata is asked of. */
function upstreamOf(read: Read): ProxyConfiguration['upstream'] {
  const url = URL.parse(read('upstream'));
  const host = url?.hostname.replace(/^\[|\]$/gu, '') ?? '';
  if (url?.protocol !== 'http:' || !isBare(url) || isIP(host) === 0) {
    throw invalid('upstream', 'is not of the form http://ADDRESS[:PORT]');
  }
  return { host, port: url.port === '' ? 80 : Number(url.port) };
}

function drainMsOf(read: Read): number {
  const text = read('drain-seconds');
  if (!/^\d{1,4}$/u.test(text)) throw invalid('drain-seconds', 'is not a number of seconds');
  return Number(text) * 1000;
}

function portOf(text: string): number | undefined {
  const port = /^\d{1,5}$/u.test(text) ? Number(text) : undefined;
  return port !== undefined && port < 65_536 ? port : undefined;
}

function listOf<Item>(name: SettingName, read: Read, itemOf: (text: string) => Item | undefined): readonly Item[] {
  return read(name)
    .split(',')
    .map((text) => {
      const item = itemOf(text.trim());
      if (item === undefined) throw invalid(name, `has an invalid entry: ${JSON.stringify(text)}`);
      return item;
    });
}

function invalid(name: SettingName, problem: string): MetaveilError {
  return new MetaveilError('invalid-configuration', `--${name} (or ${settings[name].env}) ${problem}`);
}
