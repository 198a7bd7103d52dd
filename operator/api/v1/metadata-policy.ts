import { conditionsSchema, nodesSchema, observedGenerationSchema, pendingStatus } from './conditions.ts';
import { ageColumn, readyColumns } from './columns.ts';
import { formats } from './formats.ts';
import type { CustomResource, FromSchema, KindDefinition, ObjectSchema, PrinterColumn } from './schema.ts';
import { labelSelectorSchema } from './selectors.ts';

/**
 * A path below /computeMetadata/v1/ by segments: `*` matches within one segment, `**` (last only) the whole subtree.
 * The rules refuse what could never match: a pattern that hides nothing looks like protection.
 */
const pattern = {
  type: 'string',
  minLength: 1,
  maxLength: 256,
  pattern: formats.metadataPattern.pattern,
  description:
    'One pattern below `/computeMetadata/v1/`; `*` stands for any text within a segment, a final `/**` for the whole subtree. Example: `instance/attributes/secret-*`.',
  'x-kubernetes-validations': [
    {
      rule: "!self.matches('[*][*].|[^/][*][*]')",
      message: '** must be the whole last segment of a pattern; use * within a segment',
    },
    {
      rule: "self.matches('^(instance|project|universe|oslogin)(/|$)|^[*]')",
      message:
        'a pattern must start with instance, project, universe, oslogin or *; write it relative to /computeMetadata/v1/',
    },
  ],
} as const;

const podSelector = labelSelectorSchema(
  'Pods the policy selects. Default: absent, which selects all pods in scope. Example: `{matchLabels: {app: web}}`.',
);

const mode = {
  type: 'string',
  enum: ['Audit', 'Enforce'],
  default: 'Enforce',
  description:
    "`Enforce` conceals. `Audit` only records what would have been concealed, in status, metrics and the proxy's log. Default: `Enforce`.",
} as const;

const profile = {
  type: 'string',
  enum: ['Privileged', 'Baseline', 'Restricted'],
  description:
    'Named set of concealed endpoints, like the Pod Security Standards: `Privileged` conceals nothing, `Baseline` all that yields credentials or secrets, `Restricted` all but what GKE serves to a pod. The strictest one that selects a pod counts. Default: absent, other policies and the MetadataProxy decide.',
} as const;

const patterns = <const Text extends string>(description: Text) =>
  ({
    type: 'array',
    minItems: 1,
    maxItems: 64,
    'x-kubernetes-list-type': 'atomic',
    items: pattern,
    description,
  }) as const;

const conceal = patterns(
  'Patterns of endpoints below `/computeMetadata/v1/` to hide, each with its subtree; nothing reveals them again. Default: absent, none. Example: `[instance/attributes/kube-env]`.',
);

const counter = (what: string) =>
  ({ type: 'integer', format: 'int64', minimum: 0, description: `${what} since countersSince.` }) as const;

const policyStatus = {
  type: 'object',
  description: 'What the controller and the nodes report.',
  default: pendingStatus,
  properties: {
    observedGeneration: observedGenerationSchema,
    conditions: conditionsSchema,
    nodes: nodesSchema,
    workloads: {
      type: 'integer',
      format: 'int32',
      minimum: 0,
      description: 'Live pods the policy selects. Written at most every 10 s.',
    },
    countersSince: { type: 'string', format: 'date-time', description: 'Start of the counters (RFC 3339, UTC).' },
    concealed: counter('Requests concealed by this policy'),
    wouldConceal: counter('Requests this policy would have concealed (mode Audit)'),
    legacy: counter('Requests to legacy endpoints by selected pods'),
  },
} as const satisfies ObjectSchema;

const columns = [
  ...readyColumns('Whether the policy is in effect.'),
  { name: 'Mode', type: 'string', jsonPath: '.spec.mode', description: 'Audit or Enforce.' },
  { name: 'Profile', type: 'string', jsonPath: '.spec.profile', description: 'Named set of concealed endpoints.' },
  { name: 'Workloads', type: 'integer', jsonPath: '.status.workloads', description: 'Selected pods.' },
  { name: 'Nodes', type: 'string', jsonPath: '.status.nodes.summary', description: 'Nodes programmed / desired.' },
  ageColumn,
  {
    name: 'Concealed',
    type: 'integer',
    jsonPath: '.status.concealed',
    description: 'Concealed requests.',
    priority: 1,
  },
  {
    name: 'Would-Conceal',
    type: 'integer',
    jsonPath: '.status.wouldConceal',
    description: 'Audited requests.',
    priority: 1,
  },
] as const satisfies readonly PrinterColumn[];

export const metadataPolicy = {
  kind: 'MetadataPolicy',
  plural: 'metadatapolicies',
  singular: 'metadatapolicy',
  shortName: 'mdp',
  scope: 'Namespaced',
  description:
    'Lets a namespace hide metadata endpoints from its own pods. It can only tighten what the platform team decided.',
  rootRules: [],
  nameMaxLength: 63,
  spec: {
    type: 'object',
    description:
      'What is hidden from which pods of this namespace. Required. `{}` takes all defaults. Example: `{profile: Restricted}`.',
    properties: {
      podSelector,
      mode,
      profile,
      conceal,
      directEgress: {
        type: 'string',
        enum: ['Deny', 'Unmanaged'],
        default: 'Deny',
        description:
          '`Deny`: traffic that would reach the metadata addresses without the proxy is blocked, without opening anything else. `Unmanaged`: left alone. Default: `Deny`.',
      },
    },
  },
  status: policyStatus,
  columns,
  selectableFields: ['.spec.mode', '.spec.profile'],
} as const satisfies KindDefinition;

export const clusterMetadataPolicy = {
  kind: 'ClusterMetadataPolicy',
  plural: 'clustermetadatapolicies',
  singular: 'clustermetadatapolicy',
  shortName: 'cmdp',
  scope: 'Cluster',
  description:
    "The platform team's decision on metadata endpoints across namespaces: profile, concealed and revealed endpoints. Metaveil's own namespace is never selected.",
  rootRules: [],
  nameMaxLength: 63,
  spec: {
    type: 'object',
    description:
      'What is hidden from and revealed to which pods of the cluster. Required. `{}` takes all defaults. Example: `{profile: Baseline}`.',
    properties: {
      namespaceSelector: labelSelectorSchema(
        'Namespaces the policy selects. Default: absent, which selects all. Example: `{matchLabels: {kubernetes.io/metadata.name: kube-system}}`.',
      ),
      podSelector,
      mode,
      profile,
      conceal,
      reveal: patterns(
        'Patterns of endpoints to show although the profile hides them. Exact, unless a pattern ends in `/**`. An enforcing `conceal` of any policy wins. Default: absent, none. Example: `[instance/attributes/team]`.',
      ),
      legacyEndpoints: {
        type: 'string',
        enum: ['Deny', 'Allow'],
        description:
          'Whether the legacy `0.1` and `v1beta1` APIs, which ask for no header, answer. Default: absent, the profile decides (`Baseline` and `Restricted` deny).',
      },
      directEgress: {
        type: 'string',
        enum: ['Deny', 'Unmanaged', 'Allow'],
        default: 'Deny',
        description:
          '`Deny`: traffic that would reach the metadata addresses without the proxy is blocked, without opening anything else. `Unmanaged`: left alone. `Allow`: an exception, no policy blocks the selected pods. Default: `Deny`.',
      },
    },
  },
  status: policyStatus,
  columns,
  selectableFields: ['.spec.mode', '.spec.profile'],
} as const satisfies KindDefinition;

export type MetadataPolicy = CustomResource<typeof metadataPolicy>;
export type MetadataPolicySpec = FromSchema<(typeof metadataPolicy)['spec']>;
export type ClusterMetadataPolicy = CustomResource<typeof clusterMetadataPolicy>;
export type ClusterMetadataPolicySpec = FromSchema<(typeof clusterMetadataPolicy)['spec']>;
export type MetadataPolicyStatus = FromSchema<typeof policyStatus>;
export type Profile = FromSchema<typeof profile>;
