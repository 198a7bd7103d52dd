import { conditionsSchema, nodesSchema, observedGenerationSchema, pendingStatus } from './conditions.ts';
import type { CustomResource, FromSchema, KindDefinition, ObjectSchema } from './schema.ts';

const quantities = {
  type: 'object',
  maxProperties: 8,
  minProperties: 1,
  additionalProperties: {
    type: 'string',
    maxLength: 32,
    pattern: '^[0-9]+([.][0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$',
    description: 'Quantity, written as a string. Example: `64Mi`.',
  },
} as const;

const podMap = (what: string, example: string) =>
  ({
    type: 'object',
    description: `${what} added to the proxy pods. Default: absent, none. Example: \`${example}\`.`,
    minProperties: 1,
    maxProperties: 32,
    additionalProperties: { type: 'string', maxLength: 4096, description: 'Value.' },
  }) as const;

const tolerations = {
  type: 'array',
  maxItems: 32,
  minItems: 1,
  'x-kubernetes-list-type': 'atomic',
  description:
    'Tolerations of the proxy pods. Default: absent, which tolerates every taint. Example: `[{operator: Exists}]`.',
  items: {
    type: 'object',
    description: 'One toleration, as in a pod.',
    properties: {
      key: { type: 'string', maxLength: 317, description: 'Taint key; absent with operator Exists matches all.' },
      operator: {
        type: 'string',
        enum: ['Exists', 'Equal'],
        description: 'How key and value relate. Kubernetes reads absent as `Equal`.',
      },
      value: { type: 'string', maxLength: 63, description: 'Taint value for operator Equal.' },
      effect: {
        type: 'string',
        enum: ['NoSchedule', 'PreferNoSchedule', 'NoExecute'],
        description: 'Taint effect; absent matches all.',
      },
      tolerationSeconds: {
        type: 'integer',
        format: 'int64',
        minimum: 0,
        description: 'Seconds a NoExecute taint is tolerated; absent is for ever.',
      },
    },
  },
} as const;

const emulated = {
  type: 'object',
  description:
    'Values the emulated metadata tree serves where no real server exists (platform None) or may not be asked. Absent values answer 404.',
  minProperties: 1,
  properties: {
    projectId: {
      type: 'string',
      maxLength: 64,
      pattern: '^[a-z0-9.:-]+$',
      description: 'Google project id. Example: `my-project`.',
    },
    numericProjectId: {
      type: 'string',
      maxLength: 20,
      pattern: '^[0-9]+$',
      description: 'Google project number, as a string. Example: `"123456789012"`.',
    },
    zone: {
      type: 'string',
      maxLength: 64,
      pattern: '^[a-z0-9-]+$',
      description: "Zone; default: the node's label topology.kubernetes.io/zone. Example: `europe-west4-a`.",
    },
    clusterName: {
      type: 'string',
      maxLength: 253,
      pattern: '^[A-Za-z0-9._-]+$',
      description: 'Served as instance/attributes/cluster-name. Example: `prod`.',
    },
    clusterLocation: {
      type: 'string',
      maxLength: 64,
      pattern: '^[a-z0-9-]+$',
      description: 'Served as instance/attributes/cluster-location. Example: `europe-west4`.',
    },
    clusterUid: {
      type: 'string',
      maxLength: 128,
      pattern: '^[A-Za-z0-9-]+$',
      description: 'Served as instance/attributes/cluster-uid. Default: uid of the namespace kube-system.',
    },
    attributes: {
      type: 'object',
      description:
        'Further keys below instance/attributes/; profiles apply. Default: absent, none. Example: `{team: web}`.',
      minProperties: 1,
      maxProperties: 64,
      additionalProperties: { type: 'string', maxLength: 32768, description: 'Value of the attribute.' },
    },
  },
} as const satisfies ObjectSchema;

export const metadataProxy = {
  kind: 'MetadataProxy',
  plural: 'metadataproxies',
  singular: 'metadataproxy',
  shortName: 'mdproxy',
  scope: 'Cluster',
  description:
    "The metadata proxy of a node pool: which nodes run it, how pods reach it, and what it serves. GKE's --workload-metadata-from-node, as an API.",
  rootRules: [],
  spec: {
    type: 'object',
    description: 'Nodes, behaviour and pod template of the proxy.',
    properties: {
      nodeSelector: {
        type: 'object',
        description:
          'Node labels; `kubernetes.io/os: linux` is always added. Default: absent, all Linux nodes. Example: `{pool: web}`.',
        minProperties: 1,
        maxProperties: 32,
        additionalProperties: { type: 'string', maxLength: 63, description: 'Label value.' },
      },
      tolerations,
      mode: {
        type: 'string',
        enum: ['Audit', 'Enforce'],
        default: 'Enforce',
        description: '`Audit`: every policy on these nodes only records. Default: `Enforce`.',
      },
      defaultProfile: {
        type: 'string',
        enum: ['Privileged', 'Baseline', 'Restricted'],
        default: 'Baseline',
        description: 'Profile of pods that no ClusterMetadataPolicy gives one. Default: `Baseline`.',
      },
      unboundWorkloads: {
        type: 'string',
        enum: ['Deny', 'FederatedIdentity'],
        default: 'Deny',
        description:
          'What a pod without a binding gets when it asks for its service account. `Deny`: 404 with advice. `FederatedIdentity`: its own federated identity from the provider `default`. Default: `Deny`.',
      },
      hostNetworkWorkloads: {
        type: 'string',
        enum: ['Identify', 'Deny', 'Bypass'],
        default: 'Identify',
        description:
          "What host-network pods get. `Identify`: told apart in the kernel, treated like others. `Deny`: nothing. `Bypass`: the node's own server. Default: `Identify`.",
      },
      platform: {
        type: 'string',
        enum: ['Auto', 'GCE', 'AWS', 'Azure', 'None'],
        default: 'Auto',
        description: "Whose metadata server the nodes have. `Auto` reads the node's providerID. Default: `Auto`.",
      },
      interception: {
        type: 'string',
        enum: ['NFTables', 'Env', 'CiliumLocalRedirect', 'None'],
        default: 'NFTables',
        description:
          '`NFTables`: the kernel redirects pod traffic to the metadata addresses. `Env`: pods get GCE_METADATA_* variables (Kubernetes ≥ 1.36). `CiliumLocalRedirect`: Cilium redirects. `None`: nothing is redirected. Default: `NFTables`.',
      },
      emulated,
      removeStartupTaint: {
        type: 'boolean',
        default: false,
        description:
          'Remove the taint `startup-taint.cluster-autoscaler.kubernetes.io/metaveil` from a node once its proxy serves. Default: false.',
      },
      workload: {
        type: 'string',
        enum: ['DaemonSet', 'Deployment'],
        default: 'DaemonSet',
        description:
          '`DaemonSet`: one for the pool. `Deployment`: one single-replica Deployment per node, for node-by-node rollout and sizing. Default: `DaemonSet`.',
      },
      image: {
        type: 'string',
        minLength: 1,
        maxLength: 512,
        pattern: '^[A-Za-z0-9][A-Za-z0-9._:/@-]*$',
        description:
          "Image of the proxy pods. Default: absent, the controller's own. Example: `registry.example.com/metaveil@sha256:…`.",
      },
      imagePullSecrets: {
        type: 'array',
        minItems: 1,
        maxItems: 16,
        'x-kubernetes-list-type': 'atomic',
        description:
          "Secrets in Metaveil's namespace to pull the image with. Default: absent, none. Example: `[{name: registry}]`.",
        items: {
          type: 'object',
          description: 'Reference to a Secret.',
          required: ['name'],
          properties: { name: { type: 'string', minLength: 1, maxLength: 253, description: 'Name of the Secret.' } },
        },
      },
      imagePullPolicy: {
        type: 'string',
        enum: ['Always', 'IfNotPresent', 'Never'],
        default: 'IfNotPresent',
        description: 'When the image is pulled. Default: `IfNotPresent`.',
      },
      podLabels: podMap('Labels', '{team: platform}'),
      podAnnotations: podMap('Annotations', '{example.com/scrape: "false"}'),
      resources: {
        type: 'object',
        description:
          'Resources of the proxy container. Default: absent, requests of 20m CPU and 48Mi memory, limit of 64Mi memory, no CPU limit (a throttled proxy looks like a failing identity).',
        minProperties: 1,
        properties: {
          requests: { ...quantities, description: 'Requested amounts. Example: `{cpu: 20m, memory: 48Mi}`.' },
          limits: { ...quantities, description: 'Upper bounds. Example: `{memory: 64Mi}`.' },
        },
      },
      priorityClassName: {
        type: 'string',
        minLength: 1,
        maxLength: 253,
        pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$',
        default: 'system-node-critical',
        description: 'Priority of the proxy pods. Default: `system-node-critical`.',
      },
      maxUnavailable: {
        type: 'string',
        maxLength: 8,
        pattern: '^([1-9][0-9]{0,4}|[1-9][0-9]?%|100%)$',
        default: '1',
        description:
          'How many nodes may update at once: a number or a percentage, as a string. Default: `"1"`. Example: `"10%"`.',
      },
    },
  },
  status: {
    type: 'object',
    description: 'What the controller and the nodes report.',
    default: pendingStatus,
    properties: {
      observedGeneration: observedGenerationSchema,
      conditions: conditionsSchema,
      nodes: nodesSchema,
    },
  },
  columns: [
    {
      name: 'Ready',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Ready")].status',
      description: 'Whether every selected node is served.',
    },
    {
      name: 'Reason',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
      description: 'Cause of Ready.',
    },
    { name: 'Mode', type: 'string', jsonPath: '.spec.mode', description: 'Audit or Enforce.' },
    { name: 'Profile', type: 'string', jsonPath: '.spec.defaultProfile', description: 'Default profile.' },
    { name: 'Nodes', type: 'string', jsonPath: '.status.nodes.summary', description: 'Nodes connected / selected.' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since creation.' },
    {
      name: 'Interception',
      type: 'string',
      jsonPath: '.spec.interception',
      description: 'How pods reach the proxy.',
      priority: 1,
    },
    {
      name: 'Workload',
      type: 'string',
      jsonPath: '.spec.workload',
      description: 'DaemonSet or Deployment.',
      priority: 1,
    },
  ],
  selectableFields: ['.spec.mode', '.spec.workload'],
} as const satisfies KindDefinition;

export type MetadataProxy = CustomResource<typeof metadataProxy>;
export type MetadataProxySpec = FromSchema<(typeof metadataProxy)['spec']>;
export type MetadataProxyStatus = FromSchema<(typeof metadataProxy)['status']>;
export type EmulatedValues = FromSchema<typeof emulated>;
