import type {
  ApiVersion,
  AuditFinding,
  CanonicalPath,
  Decision,
  Permit,
  PolicyReference,
  PolicySubject,
  ServiceAccountSource,
  TraceStep,
} from './decision.ts';
import { referenceTo } from './effective-profile.ts';
import { withoutAlias } from './own-service-account.ts';
import { decide, openRules, rulesFrom, type Outcome, type Rules } from './rules.ts';

/** A subject's rules, ready for any number of paths; valid as long as the subject is. */
export interface Evaluator {
  readonly account: ServiceAccountSource;
  readonly evaluate: (path: CanonicalPath, version?: ApiVersion) => Decision;
}

/** Decides one (workload, path). Total: never throws. Pass the request's path as parsed. */
export function evaluate(subject: PolicySubject, path: CanonicalPath, version: ApiVersion = 'v1'): Decision {
  return evaluatorOf(subject).evaluate(path, version);
}

/** Does once what does not depend on the path. */
export function evaluatorOf(subject: PolicySubject): Evaluator {
  const enforcing = subject.policies.filter((policy) => policy.mode === 'Enforce');
  const enforced = rulesFrom(subject, enforcing);
  const inForce = subject.settings.mode === 'Audit' ? openRules(subject) : enforced;
  const audited = subject.policies
    .filter((policy) => policy.mode === 'Audit')
    .map((policy) => ({ policy: referenceTo(policy), rules: rulesFrom(subject, [...enforcing, policy]) }));
  return {
    account: inForce.account,
    evaluate: (path, version = 'v1') => {
      const outcome = decide(inForce, path, version);
      const audit = findings({ enforced, inForce, audited }, path, version);
      if (outcome.kind === 'conceal') return { ...outcome, audit };
      const { origin, extent, trace } = outcome;
      const canonical = withoutAlias(path, inForce.account);
      const granted = permit({ workload: subject.workload, path: canonical, version, origin, extent });
      return { kind: 'reveal', permit: granted, trace, audit };
    },
  };
}

interface AuditedPolicy {
  readonly policy: PolicyReference;
  readonly rules: Rules;
}

interface AuditSetting {
  readonly enforced: Rules;
  readonly inForce: Rules;
  readonly audited: readonly AuditedPolicy[];
}

/** What would be lost if the MetadataProxy enforced, and then, by each Audit policy, if that one did. */
function findings(setting: AuditSetting, path: CanonicalPath, version: ApiVersion): readonly AuditFinding[] {
  const { enforced, inForce, audited } = setting;
  if (enforced === inForce && audited.length === 0) return none;
  const base = decide(enforced, path, version);
  const found: AuditFinding[] = [];
  if (enforced !== inForce && isLost(decide(inForce, path, version), base)) {
    found.push({ policy: decidingPolicy(base.trace), trace: base.trace });
  }
  for (const { policy, rules } of audited) {
    const outcome = decide(rules, path, version);
    if (isLost(base, outcome)) found.push({ policy, trace: outcome.trace });
  }
  return found;
}

const none: readonly AuditFinding[] = [];

/** Concealed, or the node's account taken away: both break a pod that relied on it. */
function isLost(before: Outcome, after: Outcome): boolean {
  if (before.kind === 'conceal') return false;
  return after.kind === 'conceal' || (before.origin === 'node' && after.origin === 'workload');
}

/** Who decided, as a trace tells; for what a profile decided, who gave the profile. */
export function decidingPolicy(trace: readonly TraceStep[]): PolicyReference | 'MetadataProxy' {
  for (const step of trace.toReversed()) {
    if (step.step === 'concealed-by-policy') return step.policy;
    if (step.step === 'legacy-denied' && step.by !== 'profile') return step.by;
    if (step.step === 'effective-profile') return step.from;
  }
  return 'MetadataProxy';
}

/** The only place where permits are made. */
function permit(facts: Omit<Permit, keyof Permit & symbol>): Permit {
  return facts as Permit;
}
