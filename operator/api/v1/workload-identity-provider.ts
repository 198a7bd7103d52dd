import { conditionsSchema, observedGenerationSchema, pendingStatus } from './conditions.ts';
import { ageColumn, readyColumns } from './columns.ts';
import { formats } from './formats.ts';
import type { CustomResource, FromSchema, KindDefinition } from './schema.ts';

export const workloadIdentityProvider = {
  kind: 'WorkloadIdentityProvider',
  plural: 'workloadidentityproviders',
  singular: 'workloadidentityprovider',
  shortName: 'wip',
  scope: 'Cluster',
  description:
    "States where the cluster's ServiceAccount tokens are exchanged for Google credentials: a workload identity pool provider, or GKE's own pool.",
  rootRules: [],
  spec: {
    type: 'object',
    description:
      'Which pool the cluster is federated with. Required. Example: `{type: WorkloadIdentityFederation, provider: projects/123456789012/locations/global/workloadIdentityPools/prod/providers/cluster-1}`.',
    required: ['type'],
    'x-kubernetes-validations': [
      {
        rule: "self.type != 'WorkloadIdentityFederation' || has(self.provider)",
        message:
          'provider is required with type: WorkloadIdentityFederation; set the resource name of the pool provider',
        fieldPath: '.provider',
      },
      {
        rule: "self.type != 'WorkloadIdentityFederation' || (!has(self.gkeWorkloadPool) && !has(self.gkeCluster))",
        message: 'gkeWorkloadPool and gkeCluster are forbidden with type: WorkloadIdentityFederation; remove them',
      },
      {
        rule: "self.type != 'GKE' || (has(self.gkeWorkloadPool) && has(self.gkeCluster))",
        message: 'gkeWorkloadPool and gkeCluster are required with type: GKE; set both',
      },
      {
        rule: "self.type != 'GKE' || (!has(self.provider) && !has(self.audience))",
        message: 'provider and audience are forbidden with type: GKE; remove them',
      },
      {
        rule: "self.type != 'GKE' || (!has(self.stsEndpoint) && !has(self.iamCredentialsEndpoint) && !has(self.caBundle))",
        message:
          'stsEndpoint, iamCredentialsEndpoint and caBundle are forbidden with type: GKE, whose own metadata server talks to Google; remove them',
      },
    ],
    properties: {
      type: {
        type: 'string',
        enum: ['WorkloadIdentityFederation', 'GKE'],
        description:
          "`WorkloadIdentityFederation`: Metaveil exchanges tokens and serves them. `GKE`: GKE's own metadata server does, and the controller manages its annotation. Required. Immutable.",
        'x-kubernetes-validations': [
          { rule: 'self == oldSelf', message: 'type is immutable; create another provider instead' },
        ],
      },
      provider: {
        type: 'string',
        maxLength: 256,
        pattern: formats.poolProvider.pattern,
        description:
          'Resource name of the workload identity pool provider, with the project number. Required with type `WorkloadIdentityFederation`, forbidden with `GKE`. Default: absent. Example: `projects/123456789012/locations/global/workloadIdentityPools/prod/providers/cluster-1`.',
      },
      gkeWorkloadPool: {
        type: 'string',
        maxLength: 128,
        pattern: formats.gkeWorkloadPool.pattern,
        description:
          "GKE's workload pool. Required with type `GKE`, forbidden otherwise. Default: absent. Example: `my-project.svc.id.goog`.",
      },
      gkeCluster: {
        type: 'string',
        maxLength: 256,
        pattern: formats.gkeCluster.pattern,
        description:
          'Resource name of the GKE cluster. Required with type `GKE`, forbidden otherwise. Default: absent. Example: `projects/my-project/locations/europe-west4/clusters/prod`.',
      },
      audience: {
        type: 'string',
        minLength: 1,
        maxLength: 512,
        pattern: formats.visibleAscii.pattern,
        description:
          'Audience of the Kubernetes tokens, as the pool provider expects it. Forbidden with type `GKE`. Default: absent, `//iam.googleapis.com/` followed by provider. Example: `https://clusters.example.com/prod`.',
      },
      universeDomain: {
        type: 'string',
        maxLength: 253,
        pattern: formats.universeDomain.pattern,
        default: 'googleapis.com',
        description: 'Domain of the Google Cloud universe. Default: `googleapis.com`. Example: `apis.example.goog`.',
      },
      stsEndpoint: {
        type: 'string',
        maxLength: 512,
        pattern: formats.endpoint.pattern,
        description:
          "Security Token Service to use instead of the universe's own, for private access; https only. Forbidden with type `GKE`. Default: absent, `https://sts.` followed by universeDomain. Example: `https://sts.example.com`.",
      },
      iamCredentialsEndpoint: {
        type: 'string',
        maxLength: 512,
        pattern: formats.endpoint.pattern,
        description:
          "IAM Service Account Credentials API to use instead of the universe's own, for private access; https only. Forbidden with type `GKE`. Default: absent, `https://iamcredentials.` followed by universeDomain. Example: `https://iamcredentials.example.com`.",
      },
      caBundle: {
        type: 'string',
        maxLength: 65536,
        pattern: formats.base64.pattern,
        description:
          'Base64 of PEM certificates to trust for both endpoints in addition to the public ones; at most 65536 characters. Forbidden with type `GKE`. Default: absent, none. Example: `LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t`.',
      },
      adoptAnnotations: {
        type: 'boolean',
        default: false,
        description:
          'Honour the annotation `iam.gke.io/gcp-service-account` of ServiceAccounts without a binding, in namespaces labelled `metaveil.dev/adopt-annotations=true`. Default: `false`.',
      },
    },
  },
  status: {
    type: 'object',
    description: 'What the controller found out about the federation.',
    default: pendingStatus,
    properties: {
      observedGeneration: observedGenerationSchema,
      conditions: conditionsSchema,
      issuer: {
        type: 'string',
        maxLength: 1024,
        description: "Issuer of the cluster's ServiceAccount tokens; the pool provider must trust exactly this.",
      },
      signingKeyIds: {
        type: 'array',
        maxItems: 32,
        'x-kubernetes-list-type': 'set',
        items: { type: 'string', maxLength: 256, description: 'One key id (`kid`).' },
        description:
          "Key ids the cluster publishes for its tokens; the pool provider's uploaded JWKS must contain them.",
      },
      lastAcceptedTime: {
        type: 'string',
        format: 'date-time',
        description: 'When Google last accepted a token of this cluster (RFC 3339, UTC). Written at most once an hour.',
      },
    },
  },
  columns: [
    ...readyColumns('Whether tokens can be exchanged.'),
    { name: 'Type', type: 'string', jsonPath: '.spec.type', description: 'Kind of federation.' },
    ageColumn,
    { name: 'Provider', type: 'string', jsonPath: '.spec.provider', description: 'Pool provider.', priority: 1 },
    { name: 'Issuer', type: 'string', jsonPath: '.status.issuer', description: 'Issuer of the cluster.', priority: 1 },
  ],
  selectableFields: ['.spec.type'],
} as const satisfies KindDefinition;

export type WorkloadIdentityProvider = CustomResource<typeof workloadIdentityProvider>;
export type WorkloadIdentityProviderSpec = FromSchema<(typeof workloadIdentityProvider)['spec']>;
export type WorkloadIdentityProviderStatus = FromSchema<(typeof workloadIdentityProvider)['status']>;
