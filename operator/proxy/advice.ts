/** Refusals that tell the owner of a pod what to do. The first line is fixed, the rest is for people. */
import { concealedSentence, deny, type Denial } from '../core/request/denials.ts';
import type { BindingView, UnboundReason, Workload } from '../core/snapshot/types.ts';
import type { TokenRefusal } from '../core/token/types.ts';
import { presentable } from '../telemetry/redact.ts';

/** 404 and not 403: clients abort on a 403 below service-accounts/. */
export function denyUnbound(workload: Workload, reason: UnboundReason): Denial {
  return deny('no-service-account', `${concealedSentence}\n${unboundAdvice(workload, reason)}\n`);
}

/**
 * The node's own account may be shown to this workload, but nothing behind this proxy has it: it was started without
 * a real metadata server to ask.
 */
export function denyNodeAccount(workload: Workload): Denial {
  const text = `The node's own service account is not served here. ${createBinding(workload)}`;
  return deny('no-service-account', `${concealedSentence}\n${text}\n`);
}

export function denyScope(binding: BindingView, workload: Workload, scope: string): Denial {
  const text = `The scope ${presentable(scope)} is not in spec.scopes of ${named(binding, workload)}.\n`;
  return deny('scope-not-allowed', text);
}

export function denyAudience(binding: BindingView, workload: Workload, audience: string): Denial {
  const text = `The audience ${presentable(audience)} is not in spec.idTokenAudiences of ${named(binding, workload)}.\n`;
  return deny('audience-not-allowed', text);
}

export function denyIdentityTokens(binding: BindingView, workload: Workload): Denial {
  const text = `Identity tokens need a Google service account: set access: Impersonate in ${named(binding, workload)}.\n`;
  return deny('no-identity-tokens', text);
}

/** What a refusal of the controller means to the pod that asked. */
export function denyToken(refusal: TokenRefusal, workload: Workload, binding: BindingView): Denial {
  switch (refusal.kind) {
    case 'unknown-workload':
      return deny('unknown-workload');
    case 'unbound':
      return denyUnbound(workload, 'no-binding');
    case 'scope-not-allowed':
      return denyScope(binding, workload, refusal.scope);
    case 'audience-not-allowed':
      return denyAudience(binding, workload, refusal.audience);
    case 'no-identity-tokens':
      return denyIdentityTokens(binding, workload);
    case 'google-refused':
      return googleRefused(refusal);
    case 'unavailable':
      return { ...deny('token-unavailable'), retryAfterSeconds: Math.max(1, Math.ceil(refusal.retryAfterMs / 1000)) };
  }
}

function googleRefused(refusal: Extract<TokenRefusal, { kind: 'google-refused' }>): Denial {
  const denial = deny('google-refused', `Google refused the request: ${presentable(refusal.reason)}\n`);
  return refusal.status === 404 ? { ...denial, status: 404 } : denial;
}

function unboundAdvice(workload: Workload, reason: UnboundReason): string {
  const account = `ServiceAccount ${workload.namespace}/${workload.serviceAccount.name}`;
  const binding = `WorkloadIdentityBinding ${workload.namespace}/${workload.serviceAccount.name}`;
  switch (reason) {
    case 'no-binding':
      return createBinding(workload);
    case 'suspended':
      return `${binding} is suspended: set spec.suspend to false to serve its identity again.`;
    case 'not-accepted':
      return `${binding} is not accepted: its condition Accepted says why.`;
    case 'static-pod':
      return `Static pods get no identity. Run the workload of ${account} as a DaemonSet instead.`;
    case 'reserved-namespace':
      return `Pods of namespace ${workload.namespace} get no identity from bindings.`;
  }
}

function createBinding({ namespace, serviceAccount }: Workload): string {
  return (
    `ServiceAccount ${namespace}/${serviceAccount.name} has no Google identity: create a WorkloadIdentityBinding ` +
    `named ${serviceAccount.name} in namespace ${namespace}.`
  );
}

function named(binding: BindingView, workload: Workload): string {
  const name = binding.name === '' ? workload.serviceAccount.name : binding.name;
  return `WorkloadIdentityBinding ${workload.namespace}/${name}`;
}
