/** Which of several instances on one host is the newer one. */

/**
 * One pod of the proxy, for as long as the pod lives: restarts of its containers do not change it. Otherwise the old
 * pod of a rolling update would be the newer one as soon as it restarts.
 */
export interface Instance {
  /** Milliseconds since the host booted: unlike the time of day this never goes back, and no table outlives a boot. */
  readonly startedAt: number;
  /** Eight hex digits, to tell instances of one millisecond apart. */
  readonly id: string;
}

export function instanceText({ startedAt, id }: Instance): string {
  return `${startedAt}-${id}`;
}

/** Undefined for every text that `instanceText` does not make. */
export function parseInstance(text: string): Instance | undefined {
  const [, startedAt, id] = /^(0|[1-9]\d{0,14})-([0-9a-f]{8})$/.exec(text) ?? [];
  return startedAt === undefined || id === undefined ? undefined : { startedAt: Number(startedAt), id };
}

/** Negative if `one` is older than `other`, 0 only for the same instance. */
export function compareInstances(one: Instance, other: Instance): number {
  if (one.startedAt !== other.startedAt) return one.startedAt - other.startedAt;
  if (one.id === other.id) return 0;
  return one.id < other.id ? -1 : 1;
}
