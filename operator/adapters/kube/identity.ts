/**
 * The holder's name in the Lease: `POD_RANDOM@HOST:PORT`. It carries the address of the node API, so that a follower can
 * name the leader without another lookup; the random part keeps a restarted replica from taking its former self for
 * itself.
 */
export interface ReplicaIdentity {
  readonly text: string;
  /** `host:port`, IPv6 in brackets. */
  readonly address: string;
}

/** @param nonce differs with every start of the process */
export function replicaIdentity(podName: string, nonce: string, address: string): ReplicaIdentity {
  return { text: `${podName}_${nonce}@${address}`, address };
}

/** Undefined for a holder that no Metaveil wrote: anybody who may write the Lease could have put anything there. */
export function addressOf(holder: string): string | undefined {
  const address = holder.slice(holder.lastIndexOf('@') + 1);
  return holder.includes('@') && addressPattern.test(address) ? address : undefined;
}

const addressPattern = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}$/;
