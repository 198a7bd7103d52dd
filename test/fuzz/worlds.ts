/** Random pods under random policies, made of few words so that patterns and paths often meet. */
import fc from 'fast-check';
import type { PolicySubject } from '../../operator/core/policy/decision.ts';
import type { WorkloadIdentity } from '../../operator/core/snapshot/types.ts';
import { bindingView, cmdp, mdp, subject } from '../unit/core/policy/subjects.ts';
import { ownEmails, type PolicyText, type World } from './reference.ts';
import { instanceKeys, valuesBelow, vmEmail, vmValues, type Value } from './vm.ts';

const realPath = fc.constantFrom(...vmValues.map(({ path }) => path.join('/')));
const credential = fc
  .tuple(fc.constantFrom('default', ownEmails.bound, vmEmail, '*'), fc.constantFrom('token', 'identity', 'email', '*'))
  .map((names) => ['instance', 'service-accounts', ...names].join('/'));
const word = fc.constantFrom(
  ...['instance', 'project', 'attributes', 'service-accounts', 'disks', 'tags', 'id', '0', '*', 'k*', '*-*', 'TEAM'],
  ...[ownEmails.bound, 'default', 'token', 'kube-env', 'KUBE-ENV', 'secret-*', 'network-interfaces', 'universe'],
);
const anyWords = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join('/'));
/** A real path cut short, so that a directory is named. */
const ancestor = fc.tuple(realPath, fc.nat(3)).map(([path, depth]) =>
  path
    .split('/')
    .slice(0, depth + 1)
    .join('/'),
);
const exactPattern = fc.oneof(
  { weight: 4, arbitrary: realPath },
  { weight: 2, arbitrary: credential },
  ancestor,
  anyWords,
);
const legal = /^[A-Za-z0-9._@*/-]+$/;
const pattern = fc
  .tuple(exactPattern, fc.nat(3))
  .map(([text, subtree]) => (subtree === 0 ? `${text}/**` : text))
  .map((text) => (legal.test(text) ? text : 'instance/attributes/*'));

const profile = fc.constantFrom('Privileged' as const, 'Baseline' as const, 'Restricted' as const);
const policyText: fc.Arbitrary<PolicyText> = fc.record(
  {
    kind: fc.constantFrom(
      'MetadataPolicy' as const,
      'ClusterMetadataPolicy' as const,
      'ClusterMetadataPolicy' as const,
    ),
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    mode: fc.constantFrom('Enforce' as const, 'Enforce' as const, 'Enforce' as const, 'Audit' as const),
    profile,
    conceal: fc.array(pattern, { maxLength: 3 }),
    reveal: fc.array(pattern, { maxLength: 3 }),
    legacyEndpoints: fc.constantFrom('Deny' as const, 'Allow' as const, 'Allow' as const),
  },
  { requiredKeys: ['kind', 'name', 'mode', 'conceal', 'reveal'] },
);

export const worlds: fc.Arbitrary<World> = fc.record({
  policies: fc.uniqueArray(policyText, { maxLength: 4, selector: ({ kind, name }) => `${kind} ${name}` }),
  identity: fc.constantFrom(
    'bound' as const,
    'bound' as const,
    'federated' as const,
    'unbound' as const,
    'suspended' as const,
  ),
  mode: fc.oneof({ weight: 9, arbitrary: fc.constant('Enforce' as const) }, fc.constant('Audit' as const)),
  defaultProfile: profile,
  unboundWorkloads: fc.constantFrom('Deny' as const, 'FederatedIdentity' as const),
  platform: fc.constantFrom('GCE' as const, 'GCE' as const, 'None' as const),
});

const identities: Readonly<Record<World['identity'], WorkloadIdentity>> = {
  bound: { kind: 'bound', binding: bindingView({ email: ownEmails.bound, scopes: ['own-scope'] }) },
  federated: {
    kind: 'bound',
    binding: bindingView({ name: '', access: 'Direct', email: ownEmails.federated, scopes: ['own-scope'] }),
  },
  unbound: { kind: 'unbound', reason: 'no-binding' },
  suspended: { kind: 'unbound', reason: 'suspended' },
};

/** What a node without a real server emulates; the values are marked like the VM's. */
const emulatedText = (index: number): string => `mark${900 + index}x`;
const emulated = {
  projectId: emulatedText(0),
  numericProjectId: '800090000000000008',
  zone: emulatedText(1),
  instanceId: '800090100000000008',
  instanceName: emulatedText(2),
  hostname: emulatedText(3),
  clusterName: emulatedText(4),
  clusterLocation: emulatedText(5),
  clusterUid: emulatedText(6),
  universeDomain: emulatedText(7),
  attributes: Object.fromEntries(
    instanceKeys.filter((key) => !key.startsWith('cluster-')).map((key, index) => [key, emulatedText(10 + index)]),
  ),
};

/** The same values by their path. */
export const emulatedValues: readonly Value[] = valuesBelow({
  instance: {
    attributes: {
      ...emulated.attributes,
      'cluster-name': emulated.clusterName,
      'cluster-location': emulated.clusterLocation,
      'cluster-uid': emulated.clusterUid,
    },
    hostname: emulated.hostname,
    id: emulated.instanceId,
    name: emulated.instanceName,
    zone: `projects/${emulated.numericProjectId}/zones/${emulated.zone}`,
  },
  project: { 'numeric-project-id': emulated.numericProjectId, 'project-id': emulated.projectId },
  universe: { 'universe-domain': emulated.universeDomain },
});

/** The world as the product knows it. */
export function subjectOf(world: World): PolicySubject {
  const { mode, defaultProfile, unboundWorkloads, platform } = world;
  const policies = world.policies.map(({ kind, name, ...text }) =>
    (kind === 'MetadataPolicy' ? mdp : cmdp)(name, text),
  );
  const overrides = { mode, defaultProfile, unboundWorkloads, platform, emulated };
  return subject(policies, identities[world.identity], overrides);
}
