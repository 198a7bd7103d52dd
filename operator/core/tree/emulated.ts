import type { ServiceAccountSource } from '../policy/decision.ts';
import type { EmulatedInstance } from '../snapshot/types.ts';
import type { DirectoryNode } from './node.ts';

/** All of /computeMetadata/v1/ for one workload. */
export declare function emulatedTree(instance: EmulatedInstance, account: ServiceAccountSource): DirectoryNode;

/** Only instance/service-accounts/ of a workload: what replaces the node's own below a real upstream. */
export declare function serviceAccountsTree(account: ServiceAccountSource): DirectoryNode;
