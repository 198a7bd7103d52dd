/** Names that users, RBAC rules and other parts rely on. Each is written here once. */

export const productVersion = '0.1.0';
export const fieldManager = 'metaveil-controller';
export const defaultNamespace = 'metaveil-system';
export const proxyServiceAccount = 'metaveil-proxy';
export const controllerService = 'metaveil-controller';
export const nodeApiPort = 8443;
export const nodeApiAudience = 'metaveil-node-api';
export const leaseName = 'metaveil-controller';
export const metadataProxyFinalizer = 'metaveil.dev/metadata-proxy';
export const startupTaintKey = 'startup-taint.cluster-autoscaler.kubernetes.io/metaveil';
export const gkeServiceAccountAnnotation = 'iam.gke.io/gcp-service-account';
export const cloudPlatformScope = 'https://www.googleapis.com/auth/cloud-platform';

/** Labels on all that the controller makes; the sweep after a deletion finds its objects by them. */
export const ownedLabels = {
  managedBy: 'app.kubernetes.io/managed-by',
  ownerKind: 'metaveil.dev/owner-kind',
  ownerNamespace: 'metaveil.dev/owner-namespace',
  ownerName: 'metaveil.dev/owner-name',
} as const;

/** Label that opens a namespace to `adoptAnnotations`. */
export const adoptAnnotationsLabel = 'metaveil.dev/adopt-annotations';

/** Addresses at which clouds serve instance metadata. */
export const metadataAddresses = {
  GCE: { ipv4: ['169.254.169.254'], ipv6: ['fd20:ce::254'] },
  AWS: { ipv4: ['169.254.169.254', '169.254.170.2', '169.254.170.23'], ipv6: ['fd00:ec2::254', 'fd00:ec2::23'] },
  Azure: { ipv4: ['169.254.169.254', '168.63.129.16'], ipv6: [] },
  None: { ipv4: ['169.254.169.254'], ipv6: ['fd20:ce::254'] },
} as const;

/** Addresses whose port 80 is redirected. The container-credential addresses of AWS give a pod its own identity, not the node's. */
export const redirectedAddresses = {
  ipv4: metadataAddresses.GCE.ipv4,
  ipv6: [...metadataAddresses.GCE.ipv6, 'fd00:ec2::254'],
} as const;

/** Ports of the proxy on the host network: during a surge the old and the new instance have one each. */
export const proxyPorts = [9880, 9881] as const;

/** Marks our table in the kernel. One for all installations: two on one node would have to share port 80 anyway. */
export const tableOwner = 'metaveil.dev';
