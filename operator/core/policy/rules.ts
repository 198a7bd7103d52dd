/** The rules of `design` in their order, for one subject: each is a function that decides or passes on. */
import type { CompiledPolicy } from '../snapshot/types.ts';
import type { ApiVersion, CanonicalPath, Permit, PolicySubject, ServiceAccountSource, TraceStep } from './decision.ts';
import { effectiveProfile, referenceTo, type EffectiveProfile } from './effective-profile.ts';
import { conceals, isServiceAccountPath, leadsTo, reveals, type PolicyPath } from './match.ts';
import { accountUnder, policyPath } from './own-service-account.ts';
import type { Pattern } from './pattern.ts';
import { profiles, profileVerdict } from './profiles.ts';

/** What is in force for a subject; made once, asked for many paths. */
export interface Rules {
  /** All of them enforced, in a fixed order. */
  readonly policies: readonly CompiledPolicy[];
  readonly effective: EffectiveProfile;
  readonly account: ServiceAccountSource;
}

/** A decision before it becomes a permit. */
export type Outcome =
  | {
      readonly kind: 'reveal';
      readonly origin: Permit['origin'];
      readonly extent: Permit['extent'];
      readonly trace: readonly TraceStep[];
    }
  | {
      readonly kind: 'conceal';
      readonly reason: 'policy' | 'profile' | 'legacy';
      readonly trace: readonly TraceStep[];
    };

/** `policies` are all taken as enforced, whatever their mode. */
export function rulesFrom(subject: PolicySubject, policies: readonly CompiledPolicy[]): Rules {
  const ordered = [...policies].sort(byReference);
  return withProfile(subject, ordered, effectiveProfile(ordered, subject.settings.defaultProfile));
}

/** What an Audit MetadataProxy enforces: nothing. */
export function openRules(subject: PolicySubject): Rules {
  return withProfile(subject, [], { profile: 'Privileged', from: 'MetadataProxy' });
}

function withProfile(subject: PolicySubject, policies: readonly CompiledPolicy[], effective: EffectiveProfile): Rules {
  return { policies, effective, account: accountUnder(effective.profile, subject) };
}

/** Code-unit order: the same on every machine, so traces and messages do not depend on the order of arrival. */
function byReference(one: CompiledPolicy, other: CompiledPolicy): number {
  const [left, right] = [one, other].map(({ kind, namespace, name, uid }) => `${kind} ${namespace} ${name} ${uid}`);
  if (left === undefined || right === undefined || left === right) return 0;
  return left < right ? -1 : 1;
}

/**
 * First the API version, so that a legacy path is refused by its own sentence and never shows more than its v1 path
 * does; then policies, where concealing wins; then the workload's own account; then the profile.
 */
export function decide(rules: Rules, path: CanonicalPath, version: ApiVersion): Outcome {
  const asked = policyPath(path, rules.account);
  const trace: TraceStep[] = [{ step: 'effective-profile', ...rules.effective }];
  const legacy = version === 'legacy' ? legacyGate(rules) : undefined;
  if (legacy !== undefined) trace.push(legacy);
  if (legacy?.step === 'legacy-denied') return { kind: 'conceal', reason: 'legacy', trace };
  const verdict = concealedByPolicy(rules, asked) ?? revealedByPolicy(rules, asked) ?? ownAccount(rules, asked);
  const { step, ...outcome } = verdict ?? byProfile(rules, asked);
  return { ...outcome, trace: [...trace, step] };
}

type Verdict = WithoutTrace<Outcome> & { readonly step: TraceStep };
type WithoutTrace<O> = O extends unknown ? Omit<O, 'trace'> : never;

function legacyGate({ policies, effective }: Rules): TraceStep {
  const clusterPolicies = policies.filter((policy) => policy.kind === 'ClusterMetadataPolicy');
  const denying = clusterPolicies.find((policy) => policy.legacyEndpoints === 'Deny');
  if (denying !== undefined) return { step: 'legacy-denied', by: referenceTo(denying) };
  const allowing = clusterPolicies.find((policy) => policy.legacyEndpoints === 'Allow');
  if (allowing !== undefined) return { step: 'legacy-allowed', by: referenceTo(allowing) };
  const allowed = profiles[effective.profile].legacyEndpoints === 'Allow';
  return { step: allowed ? 'legacy-allowed' : 'legacy-denied', by: 'profile' };
}

function concealedByPolicy(rules: Rules, path: PolicyPath): Verdict | undefined {
  const match = firstMatch(rules.policies, (policy) => policy.conceal.find((pattern) => conceals(pattern, path)));
  if (match === undefined) return undefined;
  return { kind: 'conceal', reason: 'policy', step: { step: 'concealed-by-policy', ...match } };
}

function revealedByPolicy(rules: Rules, path: PolicyPath): Verdict | undefined {
  const match = firstMatch(rules.policies, (policy) => revealOf(policy).find((pattern) => reveals(pattern, path)));
  if (match === undefined) return undefined;
  const origin = originOf(rules, path);
  return { kind: 'reveal', origin, extent: 'node', step: { step: 'revealed-by-policy', ...match } };
}

function ownAccount(rules: Rules, path: PolicyPath): Verdict | undefined {
  if (originOf(rules, path) === 'node') return undefined;
  return { kind: 'reveal', origin: 'workload', extent: 'node', step: { step: 'own-service-account' } };
}

function byProfile(rules: Rules, path: PolicyPath): Verdict {
  const { profile } = rules.effective;
  const verdict = profileVerdict(profile, path);
  if (verdict.kind === 'conceal') return leadingToRevealed(rules, path) ?? concealedBy(profile, verdict.row);
  const { row, extent } = verdict;
  const step: TraceStep = row === '' ? { step: 'revealed-by-default' } : { step: 'revealed-by-profile', profile, row };
  return { kind: 'reveal', origin: 'node', extent, step };
}

function concealedBy(profile: EffectiveProfile['profile'], row: string): Verdict {
  return { kind: 'conceal', reason: 'profile', step: { step: 'concealed-by-profile', profile, row } };
}

/** A directory that the profile hides, but below which a policy reveals something. */
function leadingToRevealed(rules: Rules, path: PolicyPath): Verdict | undefined {
  const match = firstMatch(rules.policies, (policy) => revealOf(policy).find((pattern) => leadsTo(pattern, path)));
  if (match === undefined) return undefined;
  return { kind: 'reveal', origin: 'node', extent: 'directory', step: { step: 'revealed-by-policy', ...match } };
}

/** Reading `reveal` here and nowhere else keeps a namespace's policy from revealing, whatever it carries. */
function revealOf(policy: CompiledPolicy): readonly Pattern[] {
  return policy.kind === 'ClusterMetadataPolicy' ? policy.reveal : [];
}

/** A reveal does not change whose account it is: only the node's own comes from the node. */
function originOf({ account }: Rules, { segments }: PolicyPath): Permit['origin'] {
  return isServiceAccountPath(segments) && account.kind !== 'node' ? 'workload' : 'node';
}

function firstMatch(policies: readonly CompiledPolicy[], find: (policy: CompiledPolicy) => Pattern | undefined) {
  for (const policy of policies) {
    const pattern = find(policy);
    if (pattern !== undefined) return { policy: referenceTo(policy), pattern: pattern.source };
  }
  return undefined;
}
