/**
 * Counts what was decided and tells the controller every few seconds, so that a flood of requests is one small message.
 * Nothing a pod sends becomes a name here: policies and workloads are the snapshot's, endpoints are a closed list.
 */
import { Tally } from '../core/counting/tally.ts';
import type { Decision, PolicyReference, PolicySubject } from '../core/policy/decision.ts';
import { decidingPolicy } from '../core/policy/evaluate.ts';
import type { CanonicalRequest } from '../core/request/canonical.ts';
import { endpointOf, otherEndpoint } from '../core/request/endpoints.ts';
import type { Timers } from '../core/time.ts';
import type { DecisionCount, LegacyCount } from '../nodeapi/wire/calls.ts';
import { wireLimits } from '../nodeapi/wire/protocol.ts';
import type { DecisionReports } from './ports.ts';

/** From the first count to the report of it, in ms. */
export const reportEveryMs = 5_000;

/** Workload and endpoint pairs; beyond it a workload's further endpoints are counted as `other`. */
const mostLegacyCounts = wireLimits.legacyCounts;

/** The default profile of the node's MetadataProxy. */
const noPolicy = '';

/** One request that arrived. The same bytes may arrive again as the same canonical request: that is another arrival. */
export interface Arrival {
  readonly request: CanonicalRequest;
}

export class DecisionCounter {
  readonly #reports: DecisionReports;
  readonly #timers: Timers;
  readonly #counts = new Tally<DecisionCount>(({ policy, decision }) => `${decision} ${policy}`, wireLimits.counts);
  readonly #legacy = new Tally<LegacyCount>(keyOfLegacy, mostLegacyCounts);
  readonly #legacyBeyond = new Tally<LegacyCount>(keyOfLegacy, mostLegacyCounts);
  /** A request that waits for a change is decided again and again, and counts once. */
  readonly #counted = new WeakSet<Arrival>();
  #cancelReport: (() => void) | undefined;

  constructor(reports: DecisionReports, timers: Timers) {
    this.#reports = reports;
    this.#timers = timers;
  }

  decided(decision: Decision, arrival: Arrival, subject: PolicySubject): void {
    const { request } = arrival;
    const isPlain = decision.kind === 'reveal' && decision.audit.length === 0 && request.version !== 'legacy';
    if (isPlain || this.#counted.has(arrival)) return;
    this.#counted.add(arrival);
    this.#cancelReport ??= this.#timers.after(reportEveryMs, () => this.#report());
    this.#countDecision(decision, subject);
    if (request.version === 'legacy') {
      this.#countLegacy(request, subject, isDeniedLegacy(decision) ? 'denied' : 'allowed');
    }
  }

  /** Reports what is left. */
  close(): void {
    if (this.#cancelReport !== undefined) this.#report();
  }

  #countDecision(decision: Decision, subject: PolicySubject): void {
    for (const { policy } of decision.audit) this.#count(uidOf(policy, subject), 'would-conceal');
    if (decision.kind === 'reveal' || isDeniedLegacy(decision)) return;
    this.#count(uidOf(decidingPolicy(decision.trace), subject), 'concealed');
  }

  #count(policy: string, decision: DecisionCount['decision']): void {
    this.#counts.add({ policy, decision, count: 1 });
  }

  #countLegacy(request: CanonicalRequest, { workload, policies }: PolicySubject, access: LegacyCount['access']): void {
    for (const { uid } of policies) this.#count(uid, 'legacy');
    if (policies.length === 0) this.#count(noPolicy, 'legacy');
    const item = { workload: workload.uid, endpoint: endpointOf(request.path), access, count: 1 };
    if (!this.#legacy.add(item)) this.#legacyBeyond.add({ ...item, endpoint: otherEndpoint });
  }

  #report(): void {
    this.#cancelReport?.();
    this.#cancelReport = undefined;
    const legacy = [...this.#legacy.take(), ...this.#legacyBeyond.take()];
    this.#reports.report({ counts: this.#counts.take(), ...(legacy.length > 0 && { legacy }) });
  }
}

function isDeniedLegacy(decision: Decision): boolean {
  return decision.kind === 'conceal' && decision.reason === 'legacy';
}

function keyOfLegacy({ workload, endpoint, access }: LegacyCount): string {
  return `${workload} ${access} ${endpoint}`;
}

/** A policy of this name is on the node once: the reference came from the subject's own policies. */
function uidOf(reference: PolicyReference | 'MetadataProxy', { policies }: PolicySubject): string {
  if (reference === 'MetadataProxy') return noPolicy;
  const { kind, namespace, name } = reference;
  const policy = policies.find((each) => each.kind === kind && each.namespace === namespace && each.name === name);
  return policy?.uid ?? noPolicy;
}
