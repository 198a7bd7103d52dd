import type { FromSchema, ObjectSchema } from './schema.ts';

/** Every reason a condition of ours can carry, each with the sentence the reference docs print. */
export const reasons = {
  Ready: 'Everything this object asks for is in effect.',
  Pending: 'The controller has not looked at this generation yet.',
  Accepted: 'The object is valid and what it refers to exists.',
  ServiceAccountNotFound: 'The ServiceAccount does not exist in this namespace; create it.',
  ProviderNotFound: 'The WorkloadIdentityProvider named in providerName does not exist.',
  ProviderNotReady: 'The WorkloadIdentityProvider named in providerName is not accepted; see its conditions.',
  SubjectTooLong: 'The subject system:serviceaccount:NAMESPACE:NAME is longer than the 127 bytes Google allows.',
  NotSupportedOnGKE: "GKE's own metadata server cannot do what this binding asks for.",
  ReservedNamespace: "Workloads of kube-system and of Metaveil's own namespace get no identities from bindings.",
  Suspended: 'spec.suspend is true: no token is served.',
  Programmed: 'Every connected node that needs this generation has acknowledged it.',
  NoWorkloads: 'No pod uses this object at the moment, so there is nothing to program.',
  NodesPending: 'Some connected nodes have not acknowledged this generation yet.',
  NodesRejected: 'Some nodes rejected this generation; the last good version stays in effect there.',
  Verified: 'A real exchange with Google succeeded.',
  VerificationPending: 'The first exchange with Google has not finished yet.',
  VerificationUnavailable: 'Google could not be asked; tokens that are still valid keep being served.',
  PermissionDenied: 'Google refused for lack of permission; the message has the command that grants it.',
  ExchangeRejected: 'Google refused the Kubernetes token; check pool, provider, issuer and signing keys.',
  GoogleServiceAccountNotFound: 'The Google service account does not exist or may not be seen.',
  Managed: "GKE's metadata server serves this identity; the controller manages the annotation.",
  AnnotationConflict: 'Another field manager owns iam.gke.io/gcp-service-account with another value.',
  EndpointNotAllowed: 'An endpoint is http; only https is allowed.',
  InvalidCABundle: 'spec.caBundle is not base64 of PEM certificates.',
  InvalidPolicy: 'The policy does not compile; the last good version keeps working.',
  TooManyPolicies: 'The namespace has more MetadataPolicies, or patterns in them, than take effect; the oldest do.',
  NothingSelected: 'The policy selects no workload at the moment.',
  Blocked: 'Direct egress of every selected workload to the metadata addresses is denied.',
  Unmanaged: 'directEgress is not managed by this policy.',
  AllowedByException: 'A ClusterMetadataPolicy allows direct egress.',
  WouldWidenEgress: 'Blocking with a NetworkPolicy would open traffic another policy denies; nothing was written.',
  CoveredByOtherPolicies: 'Other NetworkPolicies isolate the workloads and none of their rules reaches the addresses.',
  ReachableThroughOtherPolicy: 'A rule of another NetworkPolicy allows the metadata addresses.',
  NotSupportedOnCilium:
    'Cilium enforces NetworkPolicy on identities, not on these addresses; install a cluster-level deny.',
  Overlap: 'An older MetadataProxy owns some of the selected nodes.',
  Available: 'Every selected Ready node runs a connected proxy.',
  NodesNotConnected: 'Some selected Ready nodes have no connected proxy yet.',
  NoNodes: 'No Linux node matches the nodeSelector at the moment.',
  NotImplemented: 'This version does not support the requested mode.',
  Terminating: 'The object is being deleted; nodes are removing their rules.',
  InvalidSpec: 'The object is not valid; the message says where and how to fix it.',
} as const satisfies Record<string, string>;

export type Reason = keyof typeof reasons;

/** Every condition an object of ours can carry. What is good is True, except for the two of kstatus. */
export const conditionTypes = {
  Ready: 'Sums up the others: True when everything the object asks for is in effect. Every kind has it.',
  Accepted: 'The object is valid and what it refers to exists. Every kind has it.',
  Programmed: 'Every connected node that needs this generation has acknowledged it.',
  CredentialsVerified: 'WorkloadIdentityBinding: a real exchange with Google succeeded.',
  Available: 'MetadataProxy: every selected Ready node runs a connected proxy.',
  DirectEgress: 'Policies: traffic to the metadata addresses that would pass the proxy by is denied as asked.',
  Reconciling: 'kstatus: present and True while the controller is still working on it.',
  Stalled: 'kstatus: present and True when the controller cannot go on until somebody changes something.',
} as const satisfies Record<string, string>;

export type ConditionType = keyof typeof conditionTypes;

const conditionSchema = {
  type: 'object',
  description: 'One named aspect of the state, in the form of metav1.Condition.',
  required: ['type', 'status', 'reason', 'message', 'lastTransitionTime'],
  properties: {
    type: { type: 'string', maxLength: 316, description: 'Name of the aspect, for example `Ready`.' },
    status: { type: 'string', enum: ['True', 'False', 'Unknown'], description: 'Whether the aspect holds.' },
    reason: {
      type: 'string',
      maxLength: 1024,
      description: 'One word for the cause; docs/reference/conditions.md lists all.',
    },
    message: { type: 'string', maxLength: 32768, description: 'What is the case and, if False, how to fix it.' },
    lastTransitionTime: {
      type: 'string',
      format: 'date-time',
      description: 'When `status` last changed (RFC 3339, UTC).',
    },
    observedGeneration: { type: 'integer', format: 'int64', description: 'metadata.generation this was derived from.' },
  },
} as const satisfies ObjectSchema;

export type Condition = FromSchema<typeof conditionSchema>;
export type ConditionStatus = Condition['status'];

/** `conditions` as every kind has it: a list keyed by type, written whole, Ready first. */
export const conditionsSchema = {
  type: 'array',
  description: 'State by aspect. `Ready` sums up the others; `Reconciling` and `Stalled` follow kstatus.',
  maxItems: 16,
  items: conditionSchema,
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
} as const;

/**
 * Without a default, tools that wait (kubectl wait, Flux, Argo CD) would read a fresh object as done.
 */
export const pendingStatus = {
  observedGeneration: -1,
  conditions: [
    {
      type: 'Ready',
      status: 'Unknown',
      reason: 'Pending',
      message: 'Waiting for the controller.',
      lastTransitionTime: '1970-01-01T00:00:00Z',
    },
  ],
} as const;

export const observedGenerationSchema = {
  type: 'integer',
  format: 'int64',
  description: 'metadata.generation the controller last acted on; -1 until it has seen the object.',
} as const;

/** How many nodes need the object and how many have acknowledged it. */
export const nodesSchema = {
  type: 'object',
  description: 'Nodes that need this object. Written at most every 10 s.',
  required: ['desired', 'programmed', 'summary'],
  properties: {
    desired: { type: 'integer', format: 'int32', minimum: 0, description: 'Nodes that need it.' },
    programmed: {
      type: 'integer',
      format: 'int32',
      minimum: 0,
      description: 'Nodes that acknowledged this generation.',
    },
    summary: {
      type: 'string',
      maxLength: 64,
      description: '`programmed/desired`, for the column of kubectl get. Example: `12/12`.',
    },
  },
} as const satisfies ObjectSchema;
