/** The command that cures a refusal of Google, ready to be pasted into a shell. */
import type { WorkloadIdentityBinding, WorkloadIdentityProvider } from '../../api/v1/index.ts';
import type { ErrorCode } from '../errors.ts';

/** A failed exchange: code and message of the MetaveilError. */
export interface ExchangeFailure {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface RemedyContext {
  readonly binding: WorkloadIdentityBinding;
  readonly provider: WorkloadIdentityProvider;
  /** `principal://…` of the binding's ServiceAccount. */
  readonly principal: string;
}

type Remedy = (context: RemedyContext) => string | undefined;

/** Google's own sentences, and what cures each. The first that matches counts. */
const cures: readonly (readonly [RegExp, Remedy])[] = [
  [/The audience in ID Token/, allowAudience],
  [/The issuer in ID Token/, correctIssuer],
  [/ID Token signature|given credential's issuer/, uploadKeys],
  [/invalid_target|attribute condition|mapped attribute/, describeProvider],
  [/has not been used in project|it is disabled/, enableServices],
  [/allowServiceAccountCredentialLifetimeExtension/, shortenLifetime],
];

/**
 * One line of shell, or undefined where no command is known to help (Google unreachable, for one). Every word that
 * comes from an object is quoted; words that no quoting makes harmless to paste give no command.
 */
export function remedyOf({ code, message }: ExchangeFailure, context: RemedyContext): string | undefined {
  if (code === 'google-permission-denied') return grantImpersonation(context);
  if (code === 'google-not-found') return createAccount(context);
  if (code !== 'google-rejected') return undefined;
  return cures.find(([sentence]) => sentence.test(message))?.[1](context);
}

function grantImpersonation({ binding, principal }: RemedyContext): string | undefined {
  const account = binding.spec.googleServiceAccount;
  if (account === undefined) return undefined;
  return command(['gcloud', 'iam', 'service-accounts', 'add-iam-policy-binding', account], projectFlag(account), [
    '--role=roles/iam.workloadIdentityUser',
    `--member=${principal}`,
  ]);
}

function createAccount({ binding }: RemedyContext): string | undefined {
  const account = binding.spec.googleServiceAccount ?? '';
  const project = projectOf(account);
  // Accounts of other domains are made by Google itself.
  if (project === undefined || !account.endsWith('.iam.gserviceaccount.com')) return undefined;
  const [name = ''] = account.split('@');
  return command(['gcloud', 'iam', 'service-accounts', 'create', name], [`--project=${project}`]);
}

function allowAudience({ provider }: RemedyContext): string | undefined {
  const audience = provider.spec.audience ?? `//iam.googleapis.com/${provider.spec.provider ?? ''}`;
  return updateProvider(provider, `--allowed-audiences=${audience}`);
}

function correctIssuer({ provider }: RemedyContext): string | undefined {
  const issuer = provider.status?.issuer;
  return issuer === undefined ? undefined : updateProvider(provider, `--issuer-uri=${issuer}`);
}

function uploadKeys({ provider }: RemedyContext): string | undefined {
  const update = updateProvider(provider, '--jwk-json-path=jwks.json');
  return update === undefined ? undefined : `kubectl get --raw /openid/v1/jwks > jwks.json && ${update}`;
}

function describeProvider({ provider }: RemedyContext): string | undefined {
  const name = provider.spec.provider;
  return name === undefined ? undefined : command([...providersGroup, 'describe', name]);
}

function enableServices({ binding, provider }: RemedyContext): string | undefined {
  const project = projectOf(binding.spec.googleServiceAccount ?? '') ?? provider.spec.provider?.split('/')[1];
  if (project === undefined) return undefined;
  return command(
    ['gcloud', 'services', 'enable', 'iamcredentials.googleapis.com', 'sts.googleapis.com'],
    [`--project=${project}`],
  );
}

/** What the cluster's side can do; the other cure is the organisation's to give, and Google's sentence names it. */
function shortenLifetime({ binding: { metadata } }: RemedyContext): string | undefined {
  const patch = '--patch={"spec":{"tokenLifetimeSeconds":3600}}';
  const target = ['kubectl', 'patch', 'workloadidentitybinding', metadata.name];
  return command(target, [`--namespace=${metadata.namespace ?? ''}`, '--type=merge', patch]);
}

const providersGroup = ['gcloud', 'iam', 'workload-identity-pools', 'providers'] as const;

function updateProvider({ spec }: WorkloadIdentityProvider, flag: string): string | undefined {
  return spec.provider === undefined ? undefined : command([...providersGroup, 'update-oidc', spec.provider], [flag]);
}

function projectFlag(account: string): readonly string[] {
  const project = projectOf(account);
  return project === undefined ? [] : [`--project=${project}`];
}

/** Project of a service account, as far as its e-mail tells. */
function projectOf(account: string): string | undefined {
  const [name = '', domain = ''] = account.split('@');
  if (domain === 'developer.gserviceaccount.com') return /^([0-9]+)-compute$/.exec(name)?.[1];
  if (domain === 'appspot.gserviceaccount.com') return name;
  const own = /^([a-z][a-z0-9-]*)(?:\.([a-z0-9.-]+))?\.iam\.gserviceaccount\.com$/.exec(domain);
  const [, project, organisation] = own ?? [];
  // A domain-scoped project `example.com:shop` appears as `shop.example.com`; agents of Google (gcp-sa-…) have none.
  if (project === undefined || project.startsWith('gcp-sa-')) return undefined;
  return organisation === undefined ? project : `${organisation}:${project}`;
}

function command(...parts: readonly (readonly string[])[]): string | undefined {
  const words = parts.flat();
  const [, ...rest] = words;
  const harmless = words.every((word) => word !== '' && !/\p{C}/u.test(word)) && !rest.some(isStrayOption);
  return harmless ? words.map(quoted).join(' ') : undefined;
}

/** Our own options all start with two dashes; a value in an option's place would start with one at most. */
function isStrayOption(word: string): boolean {
  return /^-[^-]|^-$/.test(word);
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
