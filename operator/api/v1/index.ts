/** The API group, its version and its five kinds. */
import { clusterMetadataPolicy, metadataPolicy } from './metadata-policy.ts';
import { metadataProxy } from './metadata-proxy.ts';
import type { KindDefinition } from './schema.ts';
import { workloadIdentityBinding } from './workload-identity-binding.ts';
import { workloadIdentityProvider } from './workload-identity-provider.ts';

export const group = 'metaveil.dev';
export const version = 'v1';
export const apiVersion = 'metaveil.dev/v1';

/** In the order in which documents list them. */
export const kinds = [
  workloadIdentityBinding,
  workloadIdentityProvider,
  metadataPolicy,
  clusterMetadataPolicy,
  metadataProxy,
] as const satisfies readonly KindDefinition[];

export type KindName = (typeof kinds)[number]['kind'];

export { conditionTypes, reasons } from './conditions.ts';
export type { Condition, ConditionStatus, ConditionType, Reason } from './conditions.ts';
export type * from './metadata-policy.ts';
export type * from './metadata-proxy.ts';
export type * from './schema.ts';
export type * from './selectors.ts';
export type * from './workload-identity-binding.ts';
export type * from './workload-identity-provider.ts';
export { clusterMetadataPolicy, metadataPolicy, metadataProxy, workloadIdentityBinding, workloadIdentityProvider };
