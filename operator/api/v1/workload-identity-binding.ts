import { conditionsSchema, nodesSchema, observedGenerationSchema, pendingStatus } from './conditions.ts';
import { ageColumn, readyColumns } from './columns.ts';
import { formats } from './formats.ts';
import type { CustomResource, FromSchema, KindDefinition } from './schema.ts';

export const workloadIdentityBinding = {
  kind: 'WorkloadIdentityBinding',
  plural: 'workloadidentitybindings',
  singular: 'workloadidentitybinding',
  shortName: 'wib',
  scope: 'Namespaced',
  description:
    'States which Kubernetes ServiceAccount acts as which Google identity. Named after its ServiceAccount, so there is one binding per ServiceAccount by construction.',
  rootRules: [
    {
      rule: 'self.metadata.name == self.spec.serviceAccountName',
      message: 'metadata.name must equal spec.serviceAccountName; rename the binding after its ServiceAccount',
      fieldPath: '.metadata.name',
    },
  ],
  spec: {
    type: 'object',
    description:
      'The identity and how it may be used. Required. Example: `{serviceAccountName: reports, googleServiceAccount: reports@my-project.iam.gserviceaccount.com}`.',
    required: ['serviceAccountName'],
    'x-kubernetes-validations': [
      {
        rule: "self.access != 'Impersonate' || has(self.googleServiceAccount)",
        message: 'googleServiceAccount is required with access: Impersonate; set it, or use access: Direct',
        fieldPath: '.googleServiceAccount',
      },
      {
        rule: "self.access != 'Direct' || !has(self.googleServiceAccount)",
        message: 'googleServiceAccount is forbidden with access: Direct; remove it, or use access: Impersonate',
        fieldPath: '.googleServiceAccount',
      },
      {
        rule: "self.access != 'Direct' || !has(self.idTokenAudiences)",
        message:
          'idTokenAudiences is forbidden with access: Direct, which has no identity tokens; remove it, or use access: Impersonate',
        fieldPath: '.idTokenAudiences',
      },
      {
        rule: "self.access != 'Direct' || self.tokenLifetimeSeconds <= 3600",
        message: 'tokenLifetimeSeconds must be at most 3600 with access: Direct; lower it, or use access: Impersonate',
        fieldPath: '.tokenLifetimeSeconds',
      },
    ],
    properties: {
      serviceAccountName: {
        type: 'string',
        minLength: 1,
        maxLength: 253,
        pattern: formats.dnsSubdomain.pattern,
        description:
          'Name of the ServiceAccount in this namespace; equals metadata.name. Required. Immutable. Example: `reports`.',
        'x-kubernetes-validations': [
          { rule: 'self == oldSelf', message: 'serviceAccountName is immutable; create another binding instead' },
        ],
      },
      access: {
        type: 'string',
        enum: ['Impersonate', 'Direct'],
        default: 'Impersonate',
        description:
          '`Impersonate`: tokens of googleServiceAccount. `Direct`: the federated identity itself, to which IAM roles are granted as a principal. Default: `Impersonate`.',
      },
      googleServiceAccount: {
        type: 'string',
        minLength: 1,
        maxLength: 254,
        pattern: formats.googleServiceAccount.pattern,
        description:
          'E-mail of the Google service account to act as. Required with access `Impersonate`, forbidden with `Direct`. Default: absent. Example: `reports@my-project.iam.gserviceaccount.com`.',
      },
      providerName: {
        type: 'string',
        minLength: 1,
        maxLength: 253,
        pattern: formats.dnsSubdomain.pattern,
        default: 'default',
        description: 'Name of the WorkloadIdentityProvider to exchange at. Default: `default`. Example: `prod-pool`.',
      },
      scopes: {
        type: 'array',
        minItems: 1,
        maxItems: 64,
        'x-kubernetes-list-type': 'set',
        items: {
          type: 'string',
          minLength: 1,
          maxLength: 256,
          pattern: formats.scope.pattern,
          description: 'One OAuth 2.0 scope. Example: `https://www.googleapis.com/auth/devstorage.read_only`.',
        },
        description:
          'Allow-list of OAuth scopes; a request for another one is refused with 403, a request without scopes gets this list. Default: absent (null counts as absent), any scope, and `https://www.googleapis.com/auth/cloud-platform` where none is asked for. Example: `[https://www.googleapis.com/auth/devstorage.read_only]`.',
      },
      idTokenAudiences: {
        type: 'array',
        minItems: 1,
        maxItems: 64,
        'x-kubernetes-list-type': 'set',
        items: {
          type: 'string',
          minLength: 1,
          maxLength: 1024,
          pattern: formats.visibleAscii.pattern,
          description: 'One audience, compared exactly. Example: `https://reports.example.com`.',
        },
        description:
          'Allow-list of audiences of identity tokens; a request for another one is refused with 404. Forbidden with access `Direct`, which has no identity tokens. Default: absent (null counts as absent), any audience. Example: `[https://reports.example.com]`.',
      },
      tokenLifetimeSeconds: {
        type: 'integer',
        format: 'int32',
        minimum: 600,
        maximum: 43200,
        default: 3600,
        description:
          'Lifetime of access tokens in seconds, 600 to 43200; at most 3600 with access `Direct`. Above 3600 the Google organisation must allow it for the service account. Default: `3600`. Example: `1800`.',
      },
      suspend: {
        type: 'boolean',
        default: false,
        description:
          'Stop serving tokens for this binding without deleting it; cached tokens are dropped on every connected node within 2 s. Default: `false`.',
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
      principal: {
        type: 'string',
        maxLength: 1024,
        description:
          'The exact member to grant `roles/iam.workloadIdentityUser` (or, with access `Direct`, any role) to. Example: `principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/metaveil/subject/system:serviceaccount:web:reports`.',
      },
      nodes: nodesSchema,
      workloads: {
        type: 'integer',
        format: 'int32',
        minimum: 0,
        description: 'Live pods that run as the ServiceAccount. Written at most every 10 s.',
      },
    },
  },
  columns: [
    ...readyColumns('Whether pods can get tokens.'),
    {
      name: 'Google-Service-Account',
      type: 'string',
      jsonPath: '.spec.googleServiceAccount',
      description: 'Identity acted as.',
    },
    { name: 'Nodes', type: 'string', jsonPath: '.status.nodes.summary', description: 'Nodes programmed / desired.' },
    ageColumn,
    { name: 'Access', type: 'string', jsonPath: '.spec.access', description: 'Impersonate or Direct.', priority: 1 },
    {
      name: 'Provider',
      type: 'string',
      jsonPath: '.spec.providerName',
      description: 'WorkloadIdentityProvider.',
      priority: 1,
    },
    { name: 'Workloads', type: 'integer', jsonPath: '.status.workloads', description: 'Live pods.', priority: 1 },
    {
      name: 'Principal',
      type: 'string',
      jsonPath: '.status.principal',
      description: 'Member to grant roles to.',
      priority: 1,
    },
  ],
  selectableFields: ['.spec.serviceAccountName', '.spec.googleServiceAccount', '.spec.providerName'],
} as const satisfies KindDefinition;

export type WorkloadIdentityBinding = CustomResource<typeof workloadIdentityBinding>;
export type WorkloadIdentityBindingSpec = FromSchema<(typeof workloadIdentityBinding)['spec']>;
export type WorkloadIdentityBindingStatus = FromSchema<(typeof workloadIdentityBinding)['status']>;
