/** Objects with the verdict expected of the API server and of the offline check: accept, or the message refused with. */
import type { KindName } from '../../../operator/api/v1/index.ts';

export interface Row {
  readonly sentence: string;
  readonly kind: KindName;
  readonly name: string;
  readonly spec: unknown;
  /** undefined: accepted. Else a part of the API server's message. */
  readonly refusal: string | undefined;
}

type Spec = Readonly<Record<string, unknown>>;
/** What is tried, the fields it sets (undefined removes one), and the refusal if there is one. */
type Line = readonly [sentence: string, change: Spec, refusal?: string];

const account = 'example@my-project.iam.gserviceaccount.com';
const provider = 'projects/123456789012/locations/global/workloadIdentityPools/metaveil/providers/cluster';

function rows(kind: KindName, base: Spec, list: readonly Line[]): readonly Row[] {
  return list.map(([sentence, change, refusal]) => {
    const spec = Object.fromEntries(Object.entries({ ...base, ...change }).filter(([, value]) => value !== undefined));
    return { sentence, kind, name: 'example', spec, refusal };
  });
}

const impersonate: Spec = { serviceAccountName: 'example', googleServiceAccount: account };
const direct: Spec = { serviceAccountName: 'example', access: 'Direct' };

const accountForms = [
  'name@my-project.iam.gserviceaccount.com',
  'name@my-project.example.com.iam.gserviceaccount.com',
  'name@my-project.eu0.iam.gserviceaccount.com',
  '123456789012-compute@developer.gserviceaccount.com',
  'my-project@appspot.gserviceaccount.com',
  'my-project.example.com@appspot.gserviceaccount.com',
  '123456789012@cloudservices.gserviceaccount.com',
  '123456789012@cloudbuild.gserviceaccount.com',
  'service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com',
];

const bindingRows = [
  ...rows('WorkloadIdentityBinding', impersonate, [
    ['the name of another ServiceAccount', { serviceAccountName: 'other' }, 'metadata.name must equal'],
    ['Impersonate without an account', { googleServiceAccount: undefined }, 'googleServiceAccount is required'],
    ['Impersonate written out', { access: 'Impersonate' }],
    ['Direct with an account', { access: 'Direct' }, 'googleServiceAccount is forbidden'],
    ['audiences', { idTokenAudiences: ['https://a', 'https://b'] }],
    ['an audience with a space', { idTokenAudiences: ['a b'] }, 'should match'],
    ['no audience at all in the list', { idTokenAudiences: [] }, 'should have at least 1 items'],
    ['one audience twice', { idTokenAudiences: ['a', 'a'] }, 'Duplicate value'],
    ['the scope openid', { scopes: ['openid', 'email', 'profile'] }],
    ['a scope by its short name', { scopes: ['cloud-platform'] }, 'should match'],
    ['a lifetime of 12 h', { tokenLifetimeSeconds: 43200 }],
    ['a lifetime over 12 h', { tokenLifetimeSeconds: 43201 }, 'less than or equal to 43200'],
    ['a lifetime as text', { tokenLifetimeSeconds: '3600' }, 'must be of type integer'],
    ['a lifetime with a fraction', { tokenLifetimeSeconds: 3600.5 }, 'must be of type integer'],
    ['a provider name with two dots', { providerName: 'a..b' }, 'should match'],
    ['a provider name in upper case', { providerName: 'Default' }, 'should match'],
    ['null where a default exists', { suspend: null, access: null }],
    ['null where no default exists, which counts as absent', { scopes: null }],
    ['null in a list', { scopes: [null] }, 'must be of type string'],
    ...accountForms.map((form) => [`the account ${form}`, { googleServiceAccount: form }] as const),
    ['an account in upper case', { googleServiceAccount: account.toUpperCase() }, 'should match'],
    ['a user as account', { googleServiceAccount: 'someone@gmail.com' }, 'should match'],
    ['a look-alike domain', { googleServiceAccount: 'a@evilgserviceaccount.com' }, 'should match'],
    ['an account with a line break', { googleServiceAccount: `${account}\n` }, 'should match'],
  ]),
  ...rows('WorkloadIdentityBinding', direct, [
    ['Direct alone', {}],
    ['Direct for an hour', { tokenLifetimeSeconds: 3600 }],
    ['Direct for longer', { tokenLifetimeSeconds: 3601 }, 'must be at most 3600 with access: Direct'],
    ['Direct with audiences', { idTokenAudiences: ['a'] }, 'idTokenAudiences is forbidden'],
    ['Direct with scopes', { scopes: ['https://www.googleapis.com/auth/bigquery'] }],
  ]),
];

const gke: Spec = {
  type: 'GKE',
  gkeWorkloadPool: 'my-project.svc.id.goog',
  gkeCluster: 'projects/my-project/locations/europe-west4/clusters/prod',
};

const providerRows = [
  ...rows('WorkloadIdentityProvider', { type: 'WorkloadIdentityFederation', provider }, [
    ['federation', {}],
    ['federation without a provider', { provider: undefined }, 'provider is required'],
    ['federation with a GKE pool', { gkeWorkloadPool: gke['gkeWorkloadPool'] }, 'gkeWorkloadPool and gkeCluster are'],
    ['federation with a GKE cluster', { gkeCluster: gke['gkeCluster'] }, 'gkeWorkloadPool and gkeCluster are'],
    ['a provider by project id', { provider: provider.replace('123456789012', 'my-project') }, 'should match'],
    ['endpoints', { stsEndpoint: 'https://sts.example.com/v1', iamCredentialsEndpoint: 'https://[::1]:8443' }],
    ['an endpoint with a query', { stsEndpoint: 'https://sts.example.com/?a=b' }, 'should match'],
    ['an endpoint with a user', { stsEndpoint: 'https://user@sts.example.com' }, 'should match'],
    ['an endpoint of another protocol', { stsEndpoint: 'ftp://sts.example.com' }, 'should match'],
    ['certificates in base64', { caBundle: 'LS0tLQ==' }],
    ['a list for certificates', { caBundle: [] }, 'must be of type string'],
    ['certificates as text', { caBundle: '-----BEGIN CERTIFICATE-----' }, 'should match'],
    ['certificates with line breaks', { caBundle: 'LS0t\nLQ==' }, 'should match'],
    ['a universe of one label', { universeDomain: 'localhost' }, 'should match'],
  ]),
  ...rows('WorkloadIdentityProvider', gke, [
    ['GKE', {}],
    ['GKE without its cluster', { gkeCluster: undefined }, 'are required with type: GKE'],
    ['GKE without its pool', { gkeWorkloadPool: undefined }, 'are required with type: GKE'],
    ['GKE with a provider', { provider }, 'provider and audience are forbidden'],
    ['GKE with an audience', { audience: 'a' }, 'provider and audience are forbidden'],
    ['GKE with an endpoint', { stsEndpoint: 'https://sts.example.com' }, 'are forbidden with type: GKE, whose'],
    ['GKE with certificates', { caBundle: 'LS0tLQ==' }, 'are forbidden with type: GKE, whose'],
    ['a pool of another form', { gkeWorkloadPool: 'my-project' }, 'should match'],
  ]),
];

const goodPatterns = [
  'instance',
  '*',
  '**',
  'instance/**',
  'instance/attributes/kube-env',
  'instance/attributes/secret-*',
  'instance/service-accounts/*/identity',
  'instance/service-accounts/default@my-project.iam.gserviceaccount.com/token',
  'instance/attributes/.hidden',
  'universe/universe-domain',
  'oslogin/users',
  `project/${'a/'.repeat(14)}a`,
  `instance/${'a'.repeat(247)}`,
];

const badPatterns: readonly (readonly [string, string])[] = [
  ['', 'should be at least 1 chars long'],
  ['/instance', 'should match'],
  ['instance/', 'should match'],
  ['instance//id', 'should match'],
  ['instance/./id', 'should match'],
  ['instance/../id', 'should match'],
  ['..', 'should match'],
  ['instance/attributes/...', 'should match'],
  ['instance/%2e%2e/id', 'should match'],
  ['instance\\id', 'should match'],
  ['instance/id?alt=json', 'should match'],
  ['instance/attributes/a b', 'should match'],
  ['instance/attributes/é', 'should match'],
  ['instance/id\n', 'should match'],
  [`project/${'a/'.repeat(15)}a`, 'should match'],
  [`instance/${'a'.repeat(248)}`, 'may not be more than 256'],
  ['instance/**/id', '** must be the whole last segment'],
  ['instance/a**', '** must be the whole last segment'],
  ['instance/***', '** must be the whole last segment'],
  ['**/token', '** must be the whole last segment'],
  ['computeMetadata/v1/instance/id', 'a pattern must start with'],
  ['instances/id', 'a pattern must start with'],
  ['Instance/id', 'a pattern must start with'],
];

function patternRows(kind: KindName, field: string): readonly Row[] {
  return rows(kind, {}, [
    ...goodPatterns.map((text) => [`${field} ${JSON.stringify(text)}`, { [field]: [text] }] as const),
    ...badPatterns.map(([text, refusal]) => [`${field} ${JSON.stringify(text)}`, { [field]: [text] }, refusal] as const),
    [`64 patterns in ${field}`, { [field]: Array.from({ length: 64 }, (_, index) => `instance/a${String(index)}`) }],
    [`65 patterns in ${field}`, { [field]: Array.from({ length: 65 }, () => 'instance/a') }, 'at most 64 items'],
    [`no pattern in ${field}`, { [field]: [] }, 'at least 1 items'],
  ]);
}

const inTeam: Spec = { key: 'team', operator: 'In', values: ['web'] };

function selectorRows(kind: KindName, field: string): readonly Row[] {
  const expression = (change: Spec) => {
    const all = Object.entries({ ...inTeam, ...change }).filter(([, value]) => value !== undefined);
    return { [field]: { matchExpressions: [Object.fromEntries(all)] } };
  };
  return rows(kind, {}, [
    [`${field} by labels`, { [field]: { matchLabels: { app: 'web', 'example.com/team': '' } } }],
    [`an empty ${field}`, { [field]: {} }, 'at least 1 properties'],
    [`${field} with empty labels`, { [field]: { matchLabels: {} } }, 'at least 1 properties'],
    [`${field} with a bad key`, { [field]: { matchLabels: { 'a b': 'c' } } }, 'each key must be a label key'],
    [`${field} with an empty key`, { [field]: { matchLabels: { '': 'c' } } }, 'each key must be a label key'],
    [`${field} with a long key`, { [field]: { matchLabels: { ['a'.repeat(64)]: 'c' } } }, 'each key must be'],
    [`${field} with the longest key`, { [field]: { matchLabels: { [`a.b/${'a'.repeat(63)}`]: 'c' } } }],
    [`${field} with a bad value`, { [field]: { matchLabels: { a: '-b' } } }, 'should match'],
    [`${field} with a long value`, { [field]: { matchLabels: { a: 'b'.repeat(64) } } }, 'may not be more than 63'],
    [`${field} In values`, expression({})],
    [`${field} In nothing`, expression({ values: undefined }), 'values is required with operator In or NotIn'],
    [`${field} In an empty list`, expression({ values: [] }), 'at least 1 items'],
    [`${field} Exists`, expression({ operator: 'Exists', values: undefined })],
    [`${field} Exists with values`, expression({ operator: 'Exists' }), 'forbidden with Exists and DoesNotExist'],
    [`${field} DoesNotExist with values`, expression({ operator: 'DoesNotExist' }), 'forbidden with Exists'],
    [`${field} with an unknown operator`, expression({ operator: 'Gt' }), 'Unsupported value'],
    [`${field} with a bad key in an expression`, expression({ key: 'a/b/c' }), 'should match'],
    [`${field} without a key in an expression`, expression({ key: undefined }), 'Required value'],
  ]);
}

const policyRows = [
  ...rows('MetadataPolicy', {}, [
    ['all defaults', {}],
    ['a namespace that reveals', { reveal: ['instance/id'] }, 'unknown field "spec.reveal"'],
    ['a namespace that allows direct egress', { directEgress: 'Allow' }, 'Unsupported value'],
    ['a namespace that allows legacy endpoints', { legacyEndpoints: 'Allow' }, 'unknown field "spec.legacyEndpoints"'],
    ['a namespace that selects namespaces', { namespaceSelector: {} }, 'unknown field "spec.namespaceSelector"'],
  ]),
  ...patternRows('MetadataPolicy', 'conceal'),
  ...selectorRows('MetadataPolicy', 'podSelector'),
  ...rows('ClusterMetadataPolicy', {}, [
    ['all defaults', {}],
    ['an exception for direct egress', { directEgress: 'Allow' }],
    ['legacy endpoints', { legacyEndpoints: 'Allow' }],
  ]),
  ...patternRows('ClusterMetadataPolicy', 'conceal'),
  ...patternRows('ClusterMetadataPolicy', 'reveal'),
  ...selectorRows('ClusterMetadataPolicy', 'namespaceSelector'),
  ...selectorRows('ClusterMetadataPolicy', 'podSelector'),
];

function tolerationRow(sentence: string, toleration: Spec, ...refusal: readonly [string?]): Line {
  return [sentence, { tolerations: [toleration] }, ...refusal];
}

const proxyRows = rows('MetadataProxy', {}, [
  ['all defaults', {}],
  ['Linux nodes', { nodeSelector: { 'kubernetes.io/os': 'linux' } }],
  ['Windows nodes', { nodeSelector: { 'kubernetes.io/os': 'windows' } }, 'the proxy runs on Linux nodes only'],
  ['a bad node label', { nodeSelector: { 'a b': 'c' } }, 'each key must be a label key'],
  tolerationRow('a toleration of everything', { operator: 'Exists' }),
  tolerationRow('a toleration of a key', { key: 'dedicated', value: 'gpu', effect: 'NoSchedule' }),
  tolerationRow('an empty toleration', {}, 'a toleration without key must have operator: Exists'),
  tolerationRow('a toleration without key', { operator: 'Equal', value: 'a' }, 'a toleration without key'),
  tolerationRow('Exists with a value', { key: 'a', operator: 'Exists', value: 'b' }, 'value is forbidden'),
  tolerationRow('Exists with an empty value', { key: 'a', operator: 'Exists', value: '' }),
  tolerationRow('seconds', { key: 'a', effect: 'NoExecute', tolerationSeconds: 0 }),
  tolerationRow('seconds without effect', { key: 'a', tolerationSeconds: 60 }, 'tolerationSeconds needs'),
  tolerationRow('seconds of NoSchedule', { key: 'a', effect: 'NoSchedule', tolerationSeconds: 1 }, 'needs effect'),
  tolerationRow('negative seconds', { key: 'a', effect: 'NoExecute', tolerationSeconds: -1 }, 'greater than or equal'),
  tolerationRow('an unknown effect', { key: 'a', effect: 'Evict' }, 'Unsupported value'),
  ['a label of its own', { podLabels: { team: 'platform' } }],
  ['a label of Metaveil', { podLabels: { 'metaveil.dev/owner-name': 'a' } }, "are the controller's own"],
  ['a label of the application', { podLabels: { 'app.kubernetes.io/name': 'a' } }, "are the controller's own"],
  ['a label value too long for a label', { podLabels: { a: 'b'.repeat(64) } }, 'may not be more than 63'],
  ['a long annotation', { podAnnotations: { a: 'b'.repeat(4096) } }],
  ['a too long annotation', { podAnnotations: { a: 'b'.repeat(4097) } }, 'may not be more than 4096'],
  ['an annotation with a bad key', { podAnnotations: { 'a b': 'c' } }, 'each key must be a label key'],
  ['a number for an annotation', { podAnnotations: { a: 1 } }, 'must be of type string'],
  ['a project number as number', { emulated: { numericProjectId: 123456789012 } }, 'must be of type string'],
  ['a project number in exponents', { emulated: { numericProjectId: '1.23456789012e+11' } }, 'should match'],
  ['no emulated value', { emulated: {} }, 'at least 1 properties'],
  ['an attribute', { emulated: { attributes: { 'kube-env': 'A: b\n' } } }],
  ['an attribute with a slash', { emulated: { attributes: { 'a/b': 'c' } } }, 'each key must be 1 to 128'],
  ['an attribute with dots', { emulated: { attributes: { '..': 'c' } } }, 'each key must be 1 to 128'],
  ['a long attribute name', { emulated: { attributes: { ['a'.repeat(129)]: 'c' } } }, 'each key must be 1 to 128'],
  ['cluster-name as attribute', { emulated: { attributes: { 'cluster-name': 'c' } } }, 'fields of their own'],
  ['quantities', { resources: { requests: { cpu: '20m', memory: '48Mi' }, limits: { memory: '0.5Gi' } } }],
  ['a quantity as number', { resources: { requests: { cpu: 1 } } }, 'must be of type string'],
  ['a quantity with a unit of its own', { resources: { requests: { memory: '64MB' } } }, 'should match'],
  ['no resources', { resources: {} }, 'at least 1 properties'],
  ['an image by digest', { image: `registry.example.com:5000/metaveil@sha256:${'a'.repeat(64)}` }],
  ['an image with a space', { image: 'metaveil latest' }, 'should match'],
  ['one node at a time', { maxUnavailable: '1' }],
  ['a tenth of the nodes', { maxUnavailable: '10%' }],
  ['all nodes at once', { maxUnavailable: '100%' }],
  ['no node at all', { maxUnavailable: '0' }, 'should match'],
  ['more than all', { maxUnavailable: '101%' }, 'should match'],
  ['a number of nodes as number', { maxUnavailable: 1 }, 'must be of type string'],
  ['a pull secret without name', { imagePullSecrets: [{}] }, 'Required value'],
  ['a pull secret with a path for a name', { imagePullSecrets: [{ name: '../a' }] }, 'should match'],
]);

export const writtenRows: readonly Row[] = [...bindingRows, ...providerRows, ...policyRows, ...proxyRows];
