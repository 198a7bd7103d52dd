/** The pod that serves metadata on one node, the same for DaemonSet and Deployments. */
import type { MetadataProxySpec } from '../../api/v1/index.ts';
import { nodeApiAudience, ownedLabels, proxyServiceAccount, startupTaintKey } from '../../core/names.ts';

/** What the installation, not the user's object, decides. */
export interface ProxyInstallation {
  readonly namespace: string;
  /** The controller's own image, for MetadataProxies that name none. */
  readonly image: string;
  /** Where proxies reach the node API: an address, because the proxy must not need DNS. */
  readonly nodeApiUrl: string;
  /** Name in the node API's certificate. */
  readonly nodeApiName: string;
  /** ConfigMap in `namespace` with the node API's CA bundle under `ca.crt`. */
  readonly caConfigMap: string;
}

export interface PodTemplate {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** Condition that the controller sets from what the instance reports: during a surge a port probe would ask the wrong one. */
export const servingGate = 'metaveil.dev/serving';

export const defaultResources = { requests: { cpu: '20m', memory: '48Mi' }, limits: { memory: '64Mi' } } as const;

/**
 * How both processes run. Neither makes code out of text: what a pod sends can never become any. V8 would let the heap
 * grow past the container's limit, whatever that is, so it is told its share; docs/performance.md has what each setting
 * saves. glibc keeps what the compiler frees unless such pieces (8 KiB and more) are mapped by themselves.
 */
export const runtime = [
  {
    name: 'NODE_OPTIONS',
    value: '--disallow-code-generation-from-strings --max-old-space-size-percentage=45 --max-semi-space-size=1',
  },
  { name: 'MALLOC_MMAP_THRESHOLD_', value: '8192' },
] as const;

const paths = {
  token: '/var/run/secrets/metaveil.dev/node-api',
  ca: '/etc/metaveil/ca',
  state: '/var/lib/metaveil',
  /** The proxy tells intercept over a unix socket here where it serves; both mount it, nobody else does. */
  intercept: '/run/metaveil',
} as const;

/** `selector` labels win over the user's podLabels, so that a workload always finds its pods. */
export function podTemplate(
  spec: MetadataProxySpec,
  selector: Readonly<Record<string, string>>,
  installation: ProxyInstallation,
): PodTemplate {
  return {
    metadata: {
      labels: { ...ownLabels(spec.podLabels), ...selector },
      ...(spec.podAnnotations === undefined ? {} : { annotations: spec.podAnnotations }),
    },
    spec: {
      serviceAccountName: proxyServiceAccount,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      hostNetwork: true,
      dnsPolicy: 'Default',
      priorityClassName: spec.priorityClassName,
      terminationGracePeriodSeconds: 30,
      readinessGates: [{ conditionType: servingGate }],
      nodeSelector: nodeSelectorOf(spec),
      tolerations: tolerationsOf(spec),
      ...(spec.imagePullSecrets === undefined ? {} : { imagePullSecrets: spec.imagePullSecrets }),
      securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        proxyContainer(spec, installation),
        ...(spec.interception === 'NFTables' ? [interceptContainer(spec, installation)] : []),
      ],
      volumes: volumes(installation),
    },
  };
}

/** Without those that only the controller may set, by which it and the node API know its pods. */
function ownLabels(podLabels: MetadataProxySpec['podLabels'] = {}): Readonly<Record<string, string>> {
  const isReserved = (key: string) => key.startsWith('metaveil.dev/') || key.startsWith('app.kubernetes.io/');
  return Object.fromEntries(Object.entries(podLabels).filter(([key]) => !isReserved(key)));
}

/** The startup taint goes only when the proxy serves, so the proxy has to get past it. */
function tolerationsOf({ tolerations, removeStartupTaint }: MetadataProxySpec): readonly object[] {
  if (tolerations === undefined) return [{ operator: 'Exists' }];
  return removeStartupTaint ? [...tolerations, { key: startupTaintKey, operator: 'Exists' }] : tolerations;
}

export function nodeSelectorOf(spec: MetadataProxySpec): Readonly<Record<string, string>> {
  return { ...spec.nodeSelector, 'kubernetes.io/os': 'linux' };
}

/** Labels that tell the pods of one MetadataProxy from all others. */
export function selectorLabels(ownerKey: string): Readonly<Record<string, string>> {
  return {
    'app.kubernetes.io/name': 'metaveil',
    'app.kubernetes.io/component': 'proxy',
    [ownedLabels.ownerName]: ownerKey,
  };
}

/** No declared container port: Kubernetes would make it a hostPort and a second instance could not start beside the first. */
function proxyContainer(spec: MetadataProxySpec, installation: ProxyInstallation): Readonly<Record<string, unknown>> {
  return {
    name: 'proxy',
    image: spec.image ?? installation.image,
    imagePullPolicy: spec.imagePullPolicy,
    args: ['proxy'],
    env: [
      ...runtime,
      { name: 'METAVEIL_NODE_API_URL', value: installation.nodeApiUrl },
      { name: 'METAVEIL_NODE_API_CA_FILE', value: `${paths.ca}/ca.crt` },
      { name: 'METAVEIL_NODE_API_TOKEN_FILE', value: `${paths.token}/token` },
      { name: 'METAVEIL_STATE_DIR', value: paths.state },
      { name: 'METAVEIL_NODE_API_SERVER_NAME', value: installation.nodeApiName },
      // Without it the proxy waits for no rules before it calls itself ready.
      ...(spec.interception === 'NFTables' ? [{ name: 'METAVEIL_INTERCEPT_DIR', value: paths.intercept }] : []),
      fieldEnv('METAVEIL_HOST_IP', 'status.hostIPs'),
    ],
    resources: spec.resources ?? defaultResources,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 65532,
      runAsGroup: 65532,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [
      { name: 'node-api-token', mountPath: paths.token, readOnly: true },
      { name: 'node-api-ca', mountPath: paths.ca, readOnly: true },
      { name: 'state', mountPath: paths.state },
      { name: 'intercept', mountPath: paths.intercept },
    ],
  };
}

/** Owns the kernel rules and nothing else: root for NET_ADMIN, no other capability, no token, no view of a pod's bytes. */
function interceptContainer(
  spec: MetadataProxySpec,
  installation: ProxyInstallation,
): Readonly<Record<string, unknown>> {
  return {
    name: 'intercept',
    image: spec.image ?? installation.image,
    imagePullPolicy: spec.imagePullPolicy,
    args: ['intercept'],
    env: [
      ...runtime,
      { name: 'METAVEIL_INTERCEPT_DIR', value: paths.intercept },
      fieldEnv('METAVEIL_HOST_IP', 'status.hostIPs'),
    ],
    resources: { requests: { cpu: '10m', memory: '24Mi' }, limits: { memory: '48Mi' } },
    securityContext: {
      runAsUser: 0,
      runAsGroup: 0,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
    },
    volumeMounts: [{ name: 'intercept', mountPath: paths.intercept }],
  };
}

function fieldEnv(name: string, fieldPath: string): Readonly<Record<string, unknown>> {
  return { name, valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } } };
}

/** The state directory holds the last good snapshot and never a secret; it is gone with the pod. */
function volumes(installation: ProxyInstallation): readonly Readonly<Record<string, unknown>>[] {
  const token = { audience: nodeApiAudience, expirationSeconds: 3600, path: 'token' };
  return [
    { name: 'node-api-token', projected: { sources: [{ serviceAccountToken: token }] } },
    { name: 'node-api-ca', configMap: { name: installation.caConfigMap } },
    { name: 'state', emptyDir: { sizeLimit: '64Mi' } },
    { name: 'intercept', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
  ];
}
