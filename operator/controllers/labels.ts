import type { Hash } from '../core/brand.ts';

/** Names may have 253 characters, label values 63: a long one keeps its beginning and gets a hash. */
export function labelValue(name: string, hash: Hash): string {
  return name.length <= 63 ? name : `${name.slice(0, 50).replace(/[^a-z0-9]+$/, '')}-${hash(name).slice(0, 12)}`;
}
