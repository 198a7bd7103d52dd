import { kinds as definitions, type KindDefinition, type KindName } from '../../../operator/api/v1/index.ts';

/** The kinds under their common type, so that optional parts can be read. */
export const kinds: readonly KindDefinition[] = definitions;

/** The status every new object of the kind has, as JSON. */
export function pendingStatusOf(name: KindName): unknown {
  return structuredClone(definitions.find(({ kind }) => kind === name)?.status.default);
}

export type { KindDefinition };
