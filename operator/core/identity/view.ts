/** What a node may know of a binding, and the bindings that exist without an object. */
import { workloadIdentityBinding } from '../../api/v1/index.ts';
import type { WorkloadIdentityBinding, WorkloadIdentityProvider } from '../../api/v1/index.ts';
import type { BindingUid } from '../brand.ts';
import type { ServiceAccount } from '../cluster/objects.ts';
import type { BindingView } from '../snapshot/types.ts';
import { federatedEmailOf } from './principal.ts';

/** The provider of everything that names none. */
export const defaultProviderName = 'default';

/** '' unless Google took the permission back: then all tokens cached before that moment are dropped. */
export function epochOf(binding: WorkloadIdentityBinding): string {
  const verified = binding.status?.conditions?.find(({ type }) => type === 'CredentialsVerified');
  return verified?.status === 'False' && verified.reason === 'PermissionDenied' ? verified.lastTransitionTime : '';
}

/** A binding without uid can only come from a file, where its key is as unique. */
export function bindingUid({ metadata }: WorkloadIdentityBinding): BindingUid {
  return (metadata.uid ?? `file/${metadata.namespace ?? ''}/${metadata.name}`) as BindingUid;
}

/** Undefined if the provider does not name a pool, which the schema rules out. */
export function viewOf(binding: WorkloadIdentityBinding, provider: WorkloadIdentityProvider): BindingView | undefined {
  const { access, googleServiceAccount, scopes, idTokenAudiences, tokenLifetimeSeconds } = binding.spec;
  const email = access === 'Direct' ? federatedEmailOf(provider) : googleServiceAccount;
  if (email === undefined) return undefined;
  return {
    uid: bindingUid(binding),
    name: binding.metadata.name,
    generation: binding.metadata.generation ?? 0,
    epoch: epochOf(binding),
    access,
    email,
    ...(scopes !== undefined && { scopes: [...scopes].sort() }),
    ...(idTokenAudiences !== undefined && { idTokenAudiences: [...idTokenAudiences].sort() }),
    tokenLifetimeSeconds,
  };
}

/** The ServiceAccount's own federated identity, for `unboundWorkloads: FederatedIdentity`. */
export function federatedView(account: ServiceAccount, provider: WorkloadIdentityProvider): BindingView | undefined {
  const email = federatedEmailOf(provider);
  if (email === undefined) return undefined;
  return synthesised(federatedUid(account), { name: '', access: 'Direct', email });
}

const emailForm = new RegExp(workloadIdentityBinding.spec.properties.googleServiceAccount.pattern);
/** Bound of an epoch on the wire; Google's longest e-mails are shorter. */
const adoptedMaxLength = 128;

/** What the annotation `iam.gke.io/gcp-service-account` asks for; undefined if it is not an e-mail Google has. */
export function adoptedView(account: ServiceAccount): BindingView | undefined {
  const email = account.gkeServiceAccount;
  if (email.length > adoptedMaxLength || !emailForm.test(email)) return undefined;
  // An annotation has no generation: the e-mail itself tells tokens of two values apart.
  return { ...synthesised(adoptedUid(account), { name: account.name, access: 'Impersonate', email }), epoch: email };
}

/** Carries the ServiceAccount's uid: one recreated under the same name shares no token with the old one. */
export function federatedUid(account: ServiceAccount): BindingUid {
  return `federated/${account.uid}` as BindingUid;
}

export function adoptedUid(account: ServiceAccount): BindingUid {
  return `adopted/${account.uid}` as BindingUid;
}

function synthesised(uid: BindingUid, own: Pick<BindingView, 'name' | 'access' | 'email'>): BindingView {
  return { uid, generation: 0, epoch: '', tokenLifetimeSeconds: 3600, ...own };
}
