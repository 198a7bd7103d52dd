import type { ApiVersion, CanonicalPath, Decision, PathFilter, PolicySubject } from './decision.ts';

/** Decides one (workload, path). Total: never throws. Pass the request's path as parsed. */
export declare function evaluate(subject: PolicySubject, path: CanonicalPath, version?: ApiVersion): Decision;

/** The same decision for many v1 paths of one request: what a listing or a recursive document may contain. */
export declare function revealFilter(subject: PolicySubject): PathFilter;
