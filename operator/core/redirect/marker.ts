import { instanceText, parseInstance, type Instance } from './instance.ts';
import type { Phase } from './plan.ts';

/** Who put a table there and where it leads. It is stored in the table itself, so that every instance can read it. */
export interface Marker {
  /** Which installation. Lower-case letters, digits, dots, slashes, dashes; at most 40. */
  readonly owner: string;
  readonly instance: Instance;
  readonly phase: Phase;
  readonly port: number;
}

const form = /^owner=([a-z0-9][a-z0-9./-]{0,39}) instance=([0-9a-f-]{1,32}) phase=(serving|draining) port=(\d{1,5})$/;

/** One line that fits into the 128 bytes of an nft comment. */
export function markerText({ owner, instance, phase, port }: Marker): string {
  return `owner=${owner} instance=${instanceText(instance)} phase=${phase} port=${port}`;
}

/** Undefined for every text that `markerText` does not make. */
export function parseMarker(text: string): Marker | undefined {
  const [, owner, instanceOf = '', phase, port] = form.exec(text) ?? [];
  const instance = parseInstance(instanceOf);
  if (owner === undefined || instance === undefined) return undefined;
  return { owner, instance, phase: phase as Phase, port: Number(port) };
}
