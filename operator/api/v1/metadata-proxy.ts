import { conditionsSchema, nodesSchema, observedGenerationSchema, pendingStatus } from './conditions.ts';
import { ageColumn, readyColumns } from './columns.ts';
import { formats } from './formats.ts';
import type { CustomResource, FromSchema, KindDefinition, ObjectSchema } from './schema.ts';
import { labelKeyRule, labelsSchema } from './selectors.ts';

const quantities = {
  type: 'object',
  maxProperties: 8,
  minProperties: 1,
  'x-kubernetes-validations': [labelKeyRule],
  additionalProperties: {
    type: 'string',
    maxLength: 32,
    pattern: formats.quantity.pattern,
    description: 'Amount of the resource, written as a string. Example: `64Mi`.',
  },
} as const;

const podLabels = labelsSchema('Labels added to the proxy pods. Default: absent, none. Example: `{team: platform}`.', {
  rule: "!self.exists(key, key.startsWith('metaveil.dev/') || key.startsWith('app.kubernetes.io/'))",
  message:
    "labels of metaveil.dev/ and app.kubernetes.io/ are the controller's own, by which it finds its pods; use another prefix",
});

const podAnnotations = {
  type: 'object',
  description: 'Annotations added to the proxy pods. Default: absent, none. Example: `{example.com/scrape: "false"}`.',
  minProperties: 1,
  maxProperties: 32,
  additionalProperties: { type: 'string', maxLength: 4096, description: 'Value. Example: `"false"`.' },
  'x-kubernetes-validations': [labelKeyRule],
} as const satisfies ObjectSchema;

const tolerations = {
  type: 'array',
  maxItems: 32,
  minItems: 1,
  'x-kubernetes-list-type': 'atomic',
  description:
    'Tolerations of the proxy pods. Default: absent, which tolerates every taint. Example: `[{operator: Exists}]`.',
  items: {
    type: 'object',
    description: 'One toleration, as in a pod. Example: `{key: dedicated, operator: Exists, effect: NoSchedule}`.',
    'x-kubernetes-validations': [
      {
        rule: "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
        message: 'a toleration without key must have operator: Exists; add the key or the operator',
      },
      {
        rule: "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
        message: 'value is forbidden with operator: Exists; remove it, or use operator: Equal',
      },
      {
        rule: "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        message: 'tolerationSeconds needs effect: NoExecute; set the effect, or remove tolerationSeconds',
      },
    ],
    properties: {
      key: {
        type: 'string',
        minLength: 1,
        maxLength: 317,
        pattern: formats.labelKey.pattern,
        description: 'Taint key. Default: absent, every key, which needs operator `Exists`. Example: `dedicated`.',
      },
      operator: {
        type: 'string',
        enum: ['Exists', 'Equal'],
        description:
          '`Exists`: any value of the key. `Equal`: the value given. Default: absent, which Kubernetes reads as `Equal`.',
      },
      value: {
        type: 'string',
        maxLength: 63,
        pattern: formats.labelValue.pattern,
        description: 'Taint value for operator `Equal`. Default: absent, the empty value. Example: `gpu`.',
      },
      effect: {
        type: 'string',
        enum: ['NoSchedule', 'PreferNoSchedule', 'NoExecute'],
        description: 'Taint effect. Default: absent, every effect.',
      },
      tolerationSeconds: {
        type: 'integer',
        format: 'int64',
        minimum: 0,
        description: 'Seconds a `NoExecute` taint is tolerated. Default: absent, for ever. Example: `300`.',
      },
    },
  },
} as const;

const emulated = {
  type: 'object',
  description:
    'Values of the emulated metadata tree, which all nodes but those on platform `GCE` serve; a value that is absent here and unknown of the Node answers 404. Default: absent. Example: `{projectId: my-project, numericProjectId: "123456789012"}`.',
  minProperties: 1,
  properties: {
    projectId: {
      type: 'string',
      maxLength: 64,
      pattern: formats.projectId.pattern,
      description:
        'Served as project/project-id. Default: absent, the project of a `gce://` providerID. Example: `my-project`.',
    },
    numericProjectId: {
      type: 'string',
      maxLength: 20,
      pattern: formats.number.pattern,
      description:
        'Project number, as a string; served as project/numeric-project-id. Default: absent. Example: `"123456789012"`.',
    },
    zone: {
      type: 'string',
      maxLength: 64,
      pattern: formats.location.pattern,
      description:
        "Last part of instance/zone. Default: absent, the zone of a `gce://` providerID, else the node's label `topology.kubernetes.io/zone`. Example: `europe-west4-a`.",
    },
    clusterName: {
      type: 'string',
      maxLength: 253,
      pattern: formats.clusterName.pattern,
      description: 'Served as instance/attributes/cluster-name. Default: absent. Example: `prod`.',
    },
    clusterLocation: {
      type: 'string',
      maxLength: 64,
      pattern: formats.location.pattern,
      description: 'Served as instance/attributes/cluster-location. Default: absent. Example: `europe-west4`.',
    },
    clusterUid: {
      type: 'string',
      maxLength: 128,
      pattern: formats.clusterUid.pattern,
      description:
        'Served as instance/attributes/cluster-uid. Default: absent, the uid of the namespace kube-system. Example: `8d7c0c2a-0f5e-4d1a-9f5e-3b1b7d1f2a10`.',
    },
    attributes: {
      type: 'object',
      description:
        'Further keys below instance/attributes/, at most 64; profiles and policies apply. Default: absent, none. Example: `{team: web}`.',
      minProperties: 1,
      maxProperties: 64,
      additionalProperties: {
        type: 'string',
        maxLength: 32768,
        description: 'Value of the attribute, at most 32768 characters. Example: `web`.',
      },
      'x-kubernetes-validations': [
        {
          rule: "self.all(key, key.matches('^[A-Za-z0-9_-]{1,128}$'))",
          message: 'each key must be 1 to 128 letters, digits and any of _-; rename the key',
        },
        {
          rule: "!('cluster-name' in self || 'cluster-location' in self || 'cluster-uid' in self)",
          message:
            'cluster-name, cluster-location and cluster-uid have fields of their own; use clusterName, clusterLocation and clusterUid',
        },
      ],
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
  nameMaxLength: 63,
  spec: {
    type: 'object',
    description:
      'Nodes, behaviour and pod template of the proxy. Required. `{}` takes all defaults. Example: `{nodeSelector: {pool: web}}`.',
    properties: {
      nodeSelector: labelsSchema(
        'Labels of the nodes; `kubernetes.io/os: linux` is always added. Where two MetadataProxies select one node, the older one owns it. Default: absent, all Linux nodes. Example: `{pool: web}`.',
        {
          rule: "!('kubernetes.io/os' in self) || self['kubernetes.io/os'] == 'linux'",
          message: 'the proxy runs on Linux nodes only; remove kubernetes.io/os from nodeSelector',
        },
      ),
      tolerations,
      mode: {
        type: 'string',
        enum: ['Audit', 'Enforce'],
        default: 'Enforce',
        description:
          '`Enforce`: policies conceal. `Audit`: every policy on these nodes only records. Default: `Enforce`.',
      },
      defaultProfile: {
        type: 'string',
        enum: ['Privileged', 'Baseline', 'Restricted'],
        default: 'Baseline',
        description:
          'Profile of pods that no ClusterMetadataPolicy gives one: `Privileged` conceals nothing, `Baseline` all that yields credentials or secrets, `Restricted` all but what GKE serves to a pod. Default: `Baseline`.',
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
          "What host-network pods get. `Identify`: told apart in the kernel, treated like others. `Deny`: nothing. `Bypass`: the node's own server. This version does not tell them apart: all of them get the node's own server. Default: `Identify`.",
      },
      platform: {
        type: 'string',
        enum: ['Auto', 'GCE', 'AWS', 'Azure', 'None'],
        default: 'Auto',
        description:
          "Whose metadata server the nodes have; `None` means none, everything is emulated. `Auto` reads the node's providerID. Default: `Auto`.",
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
          'Remove the taint `startup-taint.cluster-autoscaler.kubernetes.io/metaveil` from a node once its proxy serves. Default: `false`.',
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
        pattern: formats.image.pattern,
        description:
          "Image of the proxy pods. Default: absent, the controller's own. Example: `registry.example.com/metaveil:v1.0.0`.",
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
          description: 'Reference to a Secret. Example: `{name: registry}`.',
          required: ['name'],
          properties: {
            name: {
              type: 'string',
              minLength: 1,
              maxLength: 253,
              pattern: formats.dnsSubdomain.pattern,
              description: 'Name of the Secret. Required. Example: `registry`.',
            },
          },
        },
      },
      imagePullPolicy: {
        type: 'string',
        enum: ['Always', 'IfNotPresent', 'Never'],
        default: 'IfNotPresent',
        description: 'When the image is pulled. Default: `IfNotPresent`.',
      },
      podLabels,
      podAnnotations,
      resources: {
        type: 'object',
        description:
          'Resources of the proxy container. Default: absent, requests of 20m CPU and 48Mi memory, limit of 64Mi memory, no CPU limit (a throttled proxy looks like a failing identity). Example: `{limits: {memory: 64Mi}}`.',
        minProperties: 1,
        properties: {
          requests: {
            ...quantities,
            description:
              'Requested amounts by resource. Default: absent, 20m CPU and 48Mi memory. Example: `{cpu: 20m, memory: 48Mi}`.',
          },
          limits: {
            ...quantities,
            description: 'Upper bounds by resource. Default: absent, 64Mi memory. Example: `{memory: 64Mi}`.',
          },
        },
      },
      priorityClassName: {
        type: 'string',
        minLength: 1,
        maxLength: 253,
        pattern: formats.dnsSubdomain.pattern,
        default: 'system-node-critical',
        description: 'PriorityClass of the proxy pods. Default: `system-node-critical`. Example: `platform-critical`.',
      },
      maxUnavailable: {
        type: 'string',
        maxLength: 8,
        pattern: formats.countOrPercentage.pattern,
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
    ...readyColumns('Whether every selected node is served.'),
    { name: 'Mode', type: 'string', jsonPath: '.spec.mode', description: 'Audit or Enforce.' },
    { name: 'Profile', type: 'string', jsonPath: '.spec.defaultProfile', description: 'Default profile.' },
    { name: 'Nodes', type: 'string', jsonPath: '.status.nodes.summary', description: 'Nodes connected / selected.' },
    ageColumn,
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
