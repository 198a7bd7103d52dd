import type { CanonicalPath, PolicySubject, ServiceAccountSource } from './decision.ts';
import type { Workload } from '../snapshot/types.ts';

/** Whose account the workload sees below instance/service-accounts/. */
export declare function ownServiceAccount(subject: PolicySubject): ServiceAccountSource;

/** The path with the workload's own e-mail replaced by `default`; evaluate does this itself and permits carry it. */
export declare function withoutAlias(path: CanonicalPath, workload: Workload): CanonicalPath;
