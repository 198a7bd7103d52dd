/**
 * Which identity a pod has. There is no default identity: whatever is not decided here in the pod's favour leaves it
 * without one, and the reason says what is missing.
 */
import type { MetadataProxySpec, WorkloadIdentityBinding, WorkloadIdentityProvider } from '../../api/v1/index.ts';
import type { Pod, ServiceAccount } from '../cluster/objects.ts';
import type { ClusterView } from '../cluster/store.ts';
import { adoptAnnotationsLabel } from '../names.ts';
import type { BindingView, UnboundReason, WorkloadIdentity } from '../snapshot/types.ts';
import { acceptBinding, isReservedNamespace } from './accept.ts';
import type { BindingContext, IdentityRules } from './accept.ts';
import { maxSubjectBytes, subjectBytes } from './principal.ts';
import { acceptProvider } from './provider.ts';
import { adoptedView, defaultProviderName, federatedView, viewOf } from './view.ts';

/** An identity together with the provider it is exchanged at. */
export interface ResolvedIdentity {
  readonly identity: WorkloadIdentity;
  /** Present exactly when the identity is bound. */
  readonly provider: WorkloadIdentityProvider | undefined;
}

/** `unboundWorkloads` comes from the MetadataProxy that owns the pod's node. */
export interface PodRules extends IdentityRules {
  readonly unboundWorkloads: MetadataProxySpec['unboundWorkloads'];
}

export function identityOf(pod: Pod, cluster: ClusterView, rules: PodRules): ResolvedIdentity {
  // A static pod's mirror can be forged in its name and namespace by whoever writes on the node.
  if (pod.configHash !== '') return unbound('static-pod');
  return identityOfAccount({ namespace: pod.namespace, name: pod.serviceAccountName }, cluster, rules);
}

/** A ServiceAccount by name; it need not exist. */
export interface AccountName {
  readonly namespace: string;
  readonly name: string;
}

/** What every pod of the ServiceAccount has that is not static. */
export function identityOfAccount(account: AccountName, cluster: ClusterView, rules: PodRules): ResolvedIdentity {
  if (isReservedNamespace(account.namespace, rules)) return unbound('reserved-namespace');
  const own = identityFromBinding(account, cluster, rules) ?? identityWithoutBinding(account, cluster, rules);
  return own ?? unbound('no-binding');
}

/** Undefined if there is no binding. One that is there but not in effect ends the search: it never falls back. */
function identityFromBinding(name: AccountName, cluster: ClusterView, rules: IdentityRules) {
  const binding = cluster.binding(name.namespace, name.name);
  // Deleting it is the wish to revoke; somebody's finalizer on it must not delay that.
  if (binding === undefined || binding.metadata.deletionTimestamp !== undefined) return undefined;
  if (binding.spec.suspend) return unbound('suspended');
  const serviceAccount = cluster.serviceAccount(name.namespace, name.name);
  return resolve(binding, { serviceAccount, provider: cluster.provider(binding.spec.providerName) }, rules);
}

interface Resolution extends BindingContext {
  readonly rules: IdentityRules;
  readonly resolved: ResolvedIdentity;
}

/** Objects are never changed in place, so what follows from the same objects is the same, and all pods can share it. */
const resolutions = new WeakMap<WorkloadIdentityBinding, Resolution>();

function resolve(binding: WorkloadIdentityBinding, context: BindingContext, rules: IdentityRules): ResolvedIdentity {
  const known = resolutions.get(binding);
  if (known !== undefined && followsFrom(known, context, rules)) return known.resolved;
  const acceptance = acceptBinding(binding, context, rules);
  const view = acceptance.kind === 'accepted' ? viewOf(binding, acceptance.provider) : undefined;
  const resolved =
    acceptance.kind === 'rejected' || view === undefined ? unbound('not-accepted') : bound(view, acceptance.provider);
  resolutions.set(binding, { ...context, rules, resolved });
  return resolved;
}

function followsFrom(known: Resolution, { serviceAccount, provider }: BindingContext, rules: IdentityRules): boolean {
  return (
    known.serviceAccount === serviceAccount &&
    known.provider === provider &&
    known.rules.ownNamespace === rules.ownNamespace &&
    known.rules.allowInsecureEndpoints === rules.allowInsecureEndpoints
  );
}

function identityWithoutBinding(name: AccountName, cluster: ClusterView, rules: PodRules) {
  const account = cluster.serviceAccount(name.namespace, name.name);
  const provider = cluster.provider(defaultProviderName);
  if (account === undefined || provider === undefined || !canExchange(account, provider, rules)) return undefined;
  const adopted = adoptionAllowed(name.namespace, provider, cluster) ? adoptedView(account) : undefined;
  const view =
    adopted ?? (rules.unboundWorkloads === 'FederatedIdentity' ? federatedView(account, provider) : undefined);
  return view === undefined ? undefined : bound(view, provider);
}

function canExchange(account: ServiceAccount, provider: WorkloadIdentityProvider, rules: IdentityRules): boolean {
  return (
    provider.spec.type === 'WorkloadIdentityFederation' &&
    acceptProvider(provider, rules).kind === 'accepted' &&
    subjectBytes(account.namespace, account.name) <= maxSubjectBytes
  );
}

/** Takes both the platform team's provider and a label on the namespace, which tenants cannot write. */
function adoptionAllowed(namespace: string, provider: WorkloadIdentityProvider, cluster: ClusterView): boolean {
  const labels = cluster.namespace(namespace)?.labels ?? {};
  return provider.spec.adoptAnnotations && labels[adoptAnnotationsLabel] === 'true';
}

function bound(binding: BindingView, provider: WorkloadIdentityProvider): ResolvedIdentity {
  return { identity: { kind: 'bound', binding }, provider };
}

function unbound(reason: UnboundReason): ResolvedIdentity {
  return { identity: { kind: 'unbound', reason }, provider: undefined };
}
