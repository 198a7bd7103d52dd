/** What the kernel is to do for one instance of the proxy. The whole table follows from it. */
import type { Instance } from './instance.ts';

/** An instance that drains still gets the traffic until another one takes over. */
export type Phase = 'serving' | 'draining';

export interface AddressesByFamily {
  /** Canonical text. */
  readonly ipv4: readonly string[];
  /** Canonical text: lower case, shortest form. */
  readonly ipv6: readonly string[];
}

/** The node's own addresses. A family without one is not redirected but closed. */
export interface NodeAddresses {
  readonly ipv4?: string;
  readonly ipv6?: string;
}

/** What stays the same for the life of an intercept process. */
export interface RedirectSettings {
  /** Which installation the table belongs to; see marker.ts. */
  readonly owner: string;
  readonly nodeAddresses: NodeAddresses;
  /** Addresses of the metadata server. */
  readonly metadata: AddressesByFamily;
  /** All ports that an instance can serve on; nobody reaches them but through the redirect or from the host. */
  readonly ports: readonly number[];
}

export interface RedirectPlan extends RedirectSettings {
  readonly instance: Instance;
  readonly phase: Phase;
  /** One of `ports`. */
  readonly port: number;
}

/** The name of the only table that is ever written or removed. */
export const tableName = 'metaveil';
