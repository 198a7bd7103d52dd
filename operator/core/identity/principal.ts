/** Who a ServiceAccount is at Google: the subject of its tokens and the member to grant roles to. */
import type { WorkloadIdentityProvider } from '../../api/v1/index.ts';

/** Google refuses a mapped google.subject that is longer. */
export const maxSubjectBytes = 127;

/** Claim `sub` of the ServiceAccount's tokens, and google.subject of the federated identity. */
export function subjectOf(namespace: string, serviceAccount: string): string {
  return `system:serviceaccount:${namespace}:${serviceAccount}`;
}

/** Kubernetes names are ASCII; anything else is counted as UTF-8, as Google does. */
export function subjectBytes(namespace: string, serviceAccount: string): number {
  return new TextEncoder().encode(subjectOf(namespace, serviceAccount)).length;
}

interface PoolName {
  readonly projectNumber: string;
  readonly pool: string;
}

const providerForm = /^projects\/([0-9]+)\/locations\/global\/workloadIdentityPools\/([^/]+)\/providers\/[^/]+$/;

function poolOf(provider: string): PoolName | undefined {
  const match = providerForm.exec(provider);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { projectNumber: match[1], pool: match[2] };
}

/**
 * The exact IAM member of a ServiceAccount, for example
 * `principal://iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/prod/subject/system:serviceaccount:web:api`.
 *
 * A GKE provider whose `gkeCluster` names the project by id, not by number, has no such form that could be known here;
 * the older member `serviceAccount:POOL[NAMESPACE/NAME]` is exact without the number, and good for impersonation.
 */
export function principalOf(
  provider: WorkloadIdentityProvider,
  namespace: string,
  serviceAccount: string,
): string | undefined {
  if (provider.spec.type === 'GKE') return gkePrincipalOf(provider, namespace, serviceAccount);
  const pool = poolOf(provider.spec.provider ?? '');
  if (pool === undefined) return undefined;
  return `${poolPrefix(pool)}/subject/${subjectOf(namespace, serviceAccount)}`;
}

function gkePrincipalOf({ spec }: WorkloadIdentityProvider, namespace: string, serviceAccount: string) {
  if (spec.gkeWorkloadPool === undefined) return undefined;
  const projectNumber = /^projects\/([0-9]+)\//.exec(spec.gkeCluster ?? '')?.[1];
  if (projectNumber === undefined) return `serviceAccount:${spec.gkeWorkloadPool}[${namespace}/${serviceAccount}]`;
  return `${poolPrefix({ projectNumber, pool: spec.gkeWorkloadPool })}/subject/ns/${namespace}/sa/${serviceAccount}`;
}

function poolPrefix({ projectNumber, pool }: PoolName): string {
  return `principal://iam.googleapis.com/projects/${projectNumber}/locations/global/workloadIdentityPools/${pool}`;
}

/**
 * What clients see as e-mail of an identity without a Google service account: the pool's name in the form GKE shows
 * its own (`PROJECT.svc.id.goog`).
 */
export function federatedEmailOf({ spec }: WorkloadIdentityProvider): string | undefined {
  if (spec.type === 'GKE') return spec.gkeWorkloadPool;
  const pool = poolOf(spec.provider ?? '');
  return pool === undefined ? undefined : `${pool.pool}.global.${pool.projectNumber}.workload.id.goog`;
}
