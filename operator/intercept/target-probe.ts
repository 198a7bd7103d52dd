import { connect } from 'node:net';
import type { NodeAddresses } from '../core/redirect/plan.ts';
import type { TargetProbe } from './ports.ts';

const probeTimeoutMs = 300;

/** Connects from the host and sends nothing. Refused and silent are the same: nobody is there for pods. */
export function targetProbe({ ipv4, ipv6 }: NodeAddresses): TargetProbe {
  const host = ipv4 ?? ipv6;
  return (port) =>
    new Promise((resolve) => {
      if (host === undefined) {
        resolve(false);
        return;
      }
      const socket = connect({ host, port });
      const settle = (answers: boolean): void => {
        socket.destroy();
        resolve(answers);
      };
      socket.setTimeout(probeTimeoutMs, () => settle(false));
      socket.on('connect', () => settle(true));
      socket.on('error', () => settle(false));
    });
}
