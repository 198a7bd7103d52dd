/** What intercept needs of the machine. */
import type { FailureCode } from '../core/redirect/messages.ts';
import type { AddressesByFamily } from '../core/redirect/plan.ts';

export interface ToolFailure {
  readonly kind: 'failed';
  readonly code: Extract<FailureCode, 'tool-missing' | 'kernel-refused' | 'kernel-timeout' | 'listing-unreadable'>;
  /** What the tool said, bounded. */
  readonly reason: string;
}

/** The kernel's packet filter, as far as our one table goes. Nothing here throws. */
export interface KernelRules {
  /** What nft prints for the table, at most `maxListingLength` characters. */
  list(): Promise<{ readonly kind: 'missing' } | { readonly kind: 'listed'; readonly text: string } | ToolFailure>;
  /** Loads a batch as a whole or not at all. */
  load(batch: string): Promise<{ readonly kind: 'loaded' } | ToolFailure>;
  /** Forgets connections to port 80 of these addresses that are not redirected. */
  cutFlows(addresses: AddressesByFamily): Promise<{ readonly kind: 'cut'; readonly count: number } | ToolFailure>;
}

/** Whether anything accepts connections on a port of this node. */
export type TargetProbe = (port: number) => Promise<boolean>;
