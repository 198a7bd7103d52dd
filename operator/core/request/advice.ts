/** Denials that say what to do. Users read them in a client's error, in `kubectl logs` and in the proxy's log. */
import type { BindingView, UnboundReason, Workload } from '../snapshot/types.ts';
import { concealedSentence, deny, type Denial } from './denials.ts';

type Subject = Pick<Workload, 'namespace' | 'serviceAccount'>;

/** 404, not 403: clients take 404 for "no account here" and go on, and crash on 403 below service-accounts/. */
export function denyNoServiceAccount(workload: Subject, reason: UnboundReason): Denial {
  return deny('no-service-account', `${concealedSentence}\n${advice(workload, reason)}\n`);
}

function advice({ namespace, serviceAccount }: Subject, reason: UnboundReason): string {
  const account = `${namespace}/${serviceAccount.name}`;
  const binding = `WorkloadIdentityBinding ${account}`;
  switch (reason) {
    case 'no-binding':
      return (
        `Service account ${account} has no binding. Create a WorkloadIdentityBinding named ${serviceAccount.name} in ` +
        `namespace ${namespace} with spec.serviceAccountName: ${serviceAccount.name} and spec.googleServiceAccount.`
      );
    case 'suspended':
      return `${binding} is suspended. Set spec.suspend to false to serve it again.`;
    case 'not-accepted':
      return `${binding} is not accepted. See its condition Accepted: kubectl describe wib ${serviceAccount.name} -n ${namespace}`;
    case 'static-pod':
      return 'Static pods have no service account token and so no identity. Run the pod from the API server instead.';
    case 'reserved-namespace':
      return `Pods in namespace ${namespace} get no identity. Run the workload in a namespace of its own.`;
  }
}

/** 404: gcloud asks for an identity token before every access token and gives up on any other refusal. */
export function denyNoIdentityTokens({ namespace }: Subject, binding: BindingView): Denial {
  const advised =
    binding.name === ''
      ? 'A federated identity has no identity tokens. Create a WorkloadIdentityBinding with access: Impersonate.'
      : `WorkloadIdentityBinding ${namespace}/${binding.name} has access: Direct, which has no identity tokens. ` +
        'Set access: Impersonate and googleServiceAccount.';
  return deny('no-identity-tokens', `${advised}\n`);
}

/** The scope is printable: it was parsed. */
export function denyScope({ namespace }: Subject, binding: BindingView, scope: string): Denial {
  const text = `Scope ${scope} is not in spec.scopes of WorkloadIdentityBinding ${namespace}/${binding.name}.\n`;
  return deny('scope-not-allowed', text);
}

/** The audience is printable: it was parsed. */
export function denyAudience({ namespace }: Subject, binding: BindingView, audience: string): Denial {
  const where = `spec.idTokenAudiences of WorkloadIdentityBinding ${namespace}/${binding.name}`;
  return deny('audience-not-allowed', `Audience ${audience} is not in ${where}.\n`);
}
