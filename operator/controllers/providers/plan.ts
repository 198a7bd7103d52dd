/** From facts to the status of a provider: pure, and empty when nothing changed. */
import type { WorkloadIdentityProvider, WorkloadIdentityProviderStatus } from '../../api/v1/index.ts';
import type { Acceptance } from '../../core/identity/provider.ts';
import { timestamp } from '../../core/time.ts';
import { conditionsOf, readyFrom } from '../conditions.ts';
import type { Aspect } from '../conditions.ts';
import { planStatus } from '../status-plan.ts';
import type { StatusPlan } from '../status-plan.ts';
import type { RecentWrites } from '../status-writes.ts';

export interface Discovered {
  readonly issuer: string;
  /** Sorted. */
  readonly signingKeyIds: readonly string[];
}

export interface ProviderFacts {
  readonly provider: WorkloadIdentityProvider;
  readonly previous: WorkloadIdentityProviderStatus | undefined;
  readonly acceptance: Acceptance;
  /** Undefined as long as the API server could not be asked; what the status says then stays. */
  readonly discovered: Discovered | undefined;
  /** When Google last accepted a token, ms since the epoch; undefined if not since the controller started. */
  readonly lastAcceptedAt: number | undefined;
  readonly writes: RecentWrites | undefined;
  readonly now: number;
}

export type ProviderPlan = StatusPlan<WorkloadIdentityProviderStatus>;

const hourMs = 3_600_000;

export function planProvider(facts: ProviderFacts): ProviderPlan {
  const { provider, previous, now, writes } = facts;
  const generation = provider.metadata.generation ?? 0;
  return planStatus(previous, statusOf(facts, generation), { generation, now, writes });
}

function statusOf(facts: ProviderFacts, generation: number): WorkloadIdentityProviderStatus {
  const parts = [accepted(facts)];
  const context = { previous: facts.previous?.conditions, generation, now: facts.now };
  const lastAcceptedTime = lastAccepted(facts);
  return {
    observedGeneration: generation,
    conditions: conditionsOf(readyFrom(parts), parts, context),
    ...issuerOf(facts),
    ...(lastAcceptedTime !== undefined && { lastAcceptedTime }),
  };
}

function accepted({ acceptance, provider }: ProviderFacts): Aspect {
  if (acceptance.kind === 'rejected') {
    return { type: 'Accepted', status: 'False', reason: acceptance.reason, message: acceptance.message };
  }
  const message =
    provider.spec.type === 'GKE'
      ? "GKE's metadata server exchanges the tokens; the controller manages the annotation."
      : 'Endpoints and CA bundle are usable.';
  return { type: 'Accepted', status: 'True', reason: 'Accepted', message };
}

/** GKE's own pool trusts its cluster by itself: there is nothing to compare. */
function issuerOf({ provider, discovered, previous }: ProviderFacts): Partial<Discovered> {
  if (provider.spec.type === 'GKE') return {};
  if (discovered !== undefined) return { issuer: discovered.issuer, signingKeyIds: discovered.signingKeyIds };
  const { issuer, signingKeyIds } = previous ?? {};
  return { ...(issuer !== undefined && { issuer }), ...(signingKeyIds !== undefined && { signingKeyIds }) };
}

/** Moves at most once an hour: it says that the federation works, not how busy it is. */
function lastAccepted({ previous, lastAcceptedAt }: ProviderFacts): string | undefined {
  const written = previous?.lastAcceptedTime;
  if (lastAcceptedAt === undefined) return written;
  const isRecent = written !== undefined && lastAcceptedAt - Date.parse(written) < hourMs;
  return isRecent ? written : timestamp(lastAcceptedAt);
}
