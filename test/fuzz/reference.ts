/**
 * The decision rules a second time, written from their description and as plainly as they can be said. Imports nothing:
 * where this and the evaluator differ, one of them is wrong.
 */

export type ProfileName = 'Privileged' | 'Baseline' | 'Restricted';

/** A policy as its author wrote it. */
export interface PolicyText {
  readonly kind: 'MetadataPolicy' | 'ClusterMetadataPolicy';
  readonly name: string;
  readonly mode: 'Audit' | 'Enforce';
  readonly profile?: ProfileName;
  readonly conceal: readonly string[];
  readonly reveal: readonly string[];
  readonly legacyEndpoints?: 'Deny' | 'Allow';
}

/** One pod with all that decides on what it sees. */
export interface World {
  readonly policies: readonly PolicyText[];
  readonly identity: 'bound' | 'federated' | 'unbound' | 'suspended';
  readonly mode: 'Audit' | 'Enforce';
  readonly defaultProfile: ProfileName;
  readonly unboundWorkloads: 'Deny' | 'FederatedIdentity';
  readonly platform: 'GCE' | 'None';
}

/** The pod's own account, where it has one. */
export const ownEmails = {
  bound: 'api@my-project.iam.gserviceaccount.com',
  federated: 'pool.global.123.workload.id.goog',
} as const;

/**
 * `value`: the node's value and all below. `names`: a directory of which only what is revealed below may be seen.
 * `own`: the pod's own account. `hidden`: nothing; `legacy`: nothing, and the old API is why.
 */
export type Verdict = 'value' | 'names' | 'own' | 'hidden' | 'legacy';

export interface Reference {
  readonly verdict: (path: readonly string[], api: 'v1' | 'legacy') => Verdict;
  /** Whether a policy names the path or an ancestor of it. */
  readonly concealedByPolicy: (path: readonly string[]) => boolean;
  /** Whose account the pod sees. */
  readonly account: 'bound' | 'federated' | 'node' | 'none';
}

const strictness: readonly ProfileName[] = ['Privileged', 'Baseline', 'Restricted'];

export function referenceFor(world: World): Reference {
  const open = world.mode === 'Audit';
  const policies = open ? [] : world.policies.filter(({ mode }) => mode === 'Enforce');
  const profile = open ? 'Privileged' : effectiveProfile(world, policies);
  const account = accountOf(world, profile);
  const conceal = policies.flatMap((policy) => policy.conceal).map(compile);
  const reveal = policies
    .flatMap((policy) => (policy.kind === 'ClusterMetadataPolicy' ? policy.reveal : []))
    .map(compile);
  const isLegacyOpen = legacyIsOpen(policies, profile);
  const concealedByPolicy = (path: readonly string[]): boolean =>
    conceal.some((pattern) => meets(pattern, path, account, 'node or ancestor'));
  const verdict: Reference['verdict'] = (path, api) => {
    if (api === 'legacy' && !isLegacyOpen) return 'legacy';
    if (concealedByPolicy(path)) return 'hidden';
    if (isAccountPath(path) && account !== 'node') return 'own';
    if (reveal.some((pattern) => meets(pattern, path, account, 'node'))) return 'value';
    const said = sayOf(profile, path, account);
    if (said !== 'hidden') return said;
    return reveal.some((pattern) => meets(pattern, path, account, 'descendant')) ? 'names' : 'hidden';
  };
  return { verdict, concealedByPolicy, account };
}

/** The strictest of the base and of every MetadataPolicy; a cluster's profile replaces the default. */
function effectiveProfile(world: World, policies: readonly PolicyText[]): ProfileName {
  const of = (kind: PolicyText['kind']) =>
    policies.filter((policy) => policy.kind === kind).map(({ profile }) => profile);
  const base = strictest(of('ClusterMetadataPolicy')) ?? world.defaultProfile;
  return strictest([base, ...of('MetadataPolicy')]) ?? base;
}

function strictest(profiles: readonly (ProfileName | undefined)[]): ProfileName | undefined {
  return strictness.findLast((profile) => profiles.includes(profile));
}

function legacyIsOpen(policies: readonly PolicyText[], profile: ProfileName): boolean {
  const said = policies.filter(({ kind }) => kind === 'ClusterMetadataPolicy').map((policy) => policy.legacyEndpoints);
  if (said.includes('Deny')) return false;
  return said.includes('Allow') || profile === 'Privileged';
}

function accountOf({ identity, platform, unboundWorkloads }: World, profile: ProfileName): Reference['account'] {
  if (identity === 'bound') return 'bound';
  if (identity === 'suspended') return 'none';
  if (profile === 'Privileged' && platform === 'GCE') return 'node';
  return identity === 'federated' && unboundWorkloads === 'FederatedIdentity' ? 'federated' : 'none';
}

function sayOf(profile: ProfileName, path: readonly string[], account: Reference['account']): Verdict {
  if (profile === 'Privileged') return 'value';
  const shows = profile === 'Baseline' ? baselineShows : restrictedShows;
  if (shows.some((pattern) => meets(pattern, path, account, 'node'))) return 'value';
  const isHidden =
    profile === 'Restricted' || baselineHides.some((pattern) => meets(pattern, path, account, 'node or ancestor'));
  if (!isHidden) return 'value';
  return shows.some((pattern) => meets(pattern, path, account, 'descendant')) ? 'names' : 'hidden';
}

interface Compiled {
  readonly exact: readonly RegExp[];
  readonly anyCase: readonly RegExp[];
  readonly subtree: boolean;
}

const compiled = new Map<string, Compiled>();

/** `*` stands for any characters of one segment, a final `**` for all below. */
function compile(pattern: string): Compiled {
  const known = compiled.get(pattern);
  if (known !== undefined) return known;
  const subtree = pattern.endsWith('/**');
  const segments = (subtree ? pattern.slice(0, -3) : pattern).split('/');
  const sources = segments.map((segment) => `^${segment.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
  const made = {
    exact: sources.map((each) => new RegExp(each)),
    anyCase: sources.map((each) => new RegExp(each, 'i')),
    subtree,
  };
  if (compiled.size < 10_000) compiled.set(pattern, made);
  return made;
}

const cluster = ['cluster-name', 'cluster-location', 'cluster-uid'].map((key) => `instance/attributes/${key}`);

const baselineHides = [
  ...['instance/attributes', 'project/attributes', 'instance/guest-attributes', 'instance/partner-attributes'],
  ...['instance/service-accounts/*/token', 'instance/service-accounts/*/identity'],
  ...['instance/gce-workload-certificates', 'instance/credentials', 'oslogin'],
].map(compile);
const baselineShows = [
  ...cluster,
  ...[
    'created-by',
    'instance-template',
    'disable-legacy-endpoints',
    'enable-oslogin',
    'serial-port-logging-enable',
  ].map((key) => `instance/attributes/${key}`),
  ...['enable-oslogin', 'google-compute-default-region', 'google-compute-default-zone'].map(
    (key) => `project/attributes/${key}`,
  ),
].map(compile);
const restrictedShows = [
  ...cluster,
  ...['project/project-id', 'project/numeric-project-id', 'universe/universe-domain'],
  ...['instance/id', 'instance/name', 'instance/hostname', 'instance/zone'],
].map(compile);

/**
 * `node`: the pattern names the path, or with `**` an ancestor. `node or ancestor`: it names one of them, in any case
 * of letters. `descendant`: what it names may be below the path.
 */
function meets(
  pattern: Compiled,
  path: readonly string[],
  account: Reference['account'],
  how: 'node' | 'node or ancestor' | 'descendant',
): boolean {
  const depth = pattern.exact.length;
  if (how === 'descendant' ? path.length >= depth : path.length < depth) return false;
  if (how === 'node' && path.length > depth && !pattern.subtree) return false;
  const segments = how === 'node or ancestor' ? pattern.anyCase : pattern.exact;
  return segments.slice(0, path.length).every((segment, level) => {
    const isAccount = level === 2 && isAccountPath(path);
    return isAccount ? meetsAccount(segment, path[2] ?? '', account) : segment.test(path[level] ?? '');
  });
}

/**
 * An account has two names, and what is said of one holds for both. Of an account that is not a binding's the proxy
 * does not know them, so that every pattern for an account means it.
 */
function meetsAccount(pattern: RegExp, name: string, account: Reference['account']): boolean {
  if (account !== 'bound') return true;
  const isOwn = name === 'default' || name === ownEmails.bound;
  return isOwn ? pattern.test('default') || pattern.test(ownEmails.bound) : pattern.test(name);
}

function isAccountPath(path: readonly string[]): boolean {
  return path[0] === 'instance' && path[1] === 'service-accounts';
}
