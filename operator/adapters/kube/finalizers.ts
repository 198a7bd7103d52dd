import { metaOf, recordAt, textAt, wordsAt, type RawObject } from './project/raw.ts';

/** RFC 6902. */
export type Patch = readonly { readonly op: string; readonly path: string; readonly value?: unknown }[];

const finalizersPath = '/metadata/finalizers';

/**
 * The finalizers are one list that many write: a patch touches our own entry only, and tests that the list is as we saw
 * it. Undefined: nothing to do; an object that is being deleted takes no new finalizer.
 */
export function additionOf(raw: RawObject, finalizer: string): Patch | undefined {
  const meta = metaOf(raw);
  const present = finalizersOf(raw);
  if (meta === undefined || meta.deleting || present.includes(finalizer)) return undefined;
  if (present.length > 0) return [sameObject(raw), { op: 'add', path: `${finalizersPath}/-`, value: finalizer }];
  // Without a list there is nothing to add to, and one that appeared meanwhile would be replaced.
  return [
    { op: 'test', path: '/metadata/resourceVersion', value: meta.resourceVersion },
    { op: 'add', path: finalizersPath, value: [finalizer] },
  ];
}

/** Undefined: it is not there. */
export function removalOf(raw: RawObject, finalizer: string): Patch | undefined {
  const at = finalizersOf(raw).indexOf(finalizer);
  if (at < 0) return undefined;
  const path = `${finalizersPath}/${at}`;
  return [sameObject(raw), { op: 'test', path, value: finalizer }, { op: 'remove', path }];
}

function sameObject(raw: RawObject): Patch[number] {
  return { op: 'test', path: '/metadata/uid', value: textAt(recordAt(raw, 'metadata'), 'uid') };
}

function finalizersOf(raw: RawObject): readonly string[] {
  return wordsAt(recordAt(raw, 'metadata'), 'finalizers');
}
