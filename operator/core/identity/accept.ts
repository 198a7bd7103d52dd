/** Whether a WorkloadIdentityBinding can take effect: an ordered chain of checks, the first that fails is the reason. */
import type { Reason, WorkloadIdentityBinding, WorkloadIdentityProvider } from '../../api/v1/index.ts';
import type { ServiceAccount } from '../cluster/objects.ts';
import { maxSubjectBytes, subjectBytes, subjectOf } from './principal.ts';
import { acceptProvider } from './provider.ts';
import type { Acceptance, ProviderRules } from './provider.ts';

export interface IdentityRules extends ProviderRules {
  /** Namespace of the installation, `metaveil-system` by default. */
  readonly ownNamespace: string;
}

export interface BindingContext {
  readonly serviceAccount: ServiceAccount | undefined;
  readonly provider: WorkloadIdentityProvider | undefined;
}

/** A binding that can take effect, with what it refers to. */
export interface AcceptedBinding {
  readonly kind: 'accepted';
  readonly serviceAccount: ServiceAccount;
  readonly provider: WorkloadIdentityProvider;
}

export type BindingAcceptance = AcceptedBinding | Extract<Acceptance, { readonly kind: 'rejected' }>;

/** Pods of kube-system carry the node's own duties, ours carry the authority over everybody's identity. */
export function isReservedNamespace(namespace: string, rules: IdentityRules): boolean {
  return namespace === 'kube-system' || namespace === rules.ownNamespace;
}

export function acceptBinding(
  binding: WorkloadIdentityBinding,
  { serviceAccount, provider }: BindingContext,
  rules: IdentityRules,
): BindingAcceptance {
  const namespace = binding.metadata.namespace ?? '';
  const { serviceAccountName, providerName } = binding.spec;
  if (isReservedNamespace(namespace, rules))
    return rejected('ReservedNamespace', `Namespace ${namespace} gets no identities; use another namespace.`);
  if (serviceAccount === undefined) {
    const fix = `kubectl create serviceaccount ${serviceAccountName} -n ${namespace}`;
    return rejected('ServiceAccountNotFound', `ServiceAccount ${serviceAccountName} does not exist; run: ${fix}`);
  }
  if (provider === undefined)
    return rejected('ProviderNotFound', `WorkloadIdentityProvider ${providerName} does not exist; create it.`);
  const usable = acceptProvider(provider, rules);
  if (usable.kind === 'rejected')
    return rejected('ProviderNotReady', `WorkloadIdentityProvider ${providerName}: ${usable.message}`);
  const limit = provider.spec.type === 'GKE' ? beyondGke(binding) : subjectTooLong(namespace, serviceAccountName);
  return limit ?? { kind: 'accepted', serviceAccount, provider };
}

function subjectTooLong(namespace: string, name: string) {
  const bytes = subjectBytes(namespace, name);
  if (bytes <= maxSubjectBytes) return undefined;
  const message = `The subject ${subjectOf(namespace, name)} has ${String(bytes)} bytes, Google allows ${String(maxSubjectBytes)}; shorten a name.`;
  return rejected('SubjectTooLong', message);
}

/** GKE's own metadata server decides what is served there; it knows none of these. */
function beyondGke({ spec }: WorkloadIdentityBinding) {
  const fields = [
    spec.scopes !== undefined && 'scopes',
    spec.idTokenAudiences !== undefined && 'idTokenAudiences',
    spec.tokenLifetimeSeconds !== 3600 && 'tokenLifetimeSeconds',
    spec.suspend && 'suspend',
  ].filter((field) => field !== false);
  if (fields.length === 0) return undefined;
  const named = fields.map((field) => `spec.${field}`).join(', ');
  return rejected('NotSupportedOnGKE', `GKE's metadata server cannot honour ${named}; remove it.`);
}

function rejected(reason: Reason, message: string) {
  return { kind: 'rejected', reason, message } as const;
}
