/**
 * @peculiar/x509 registers its own classes with a container that asks for three functions of the reflect-metadata
 * proposal and refuses to load without them. This is all of the proposal that it uses; import it before the library.
 */

type MetadataOf = Map<unknown, unknown>;

const metadata = new WeakMap<object, MetadataOf>();

function getOwnMetadata(key: unknown, target: object): unknown {
  return metadata.get(target)?.get(key);
}

/** As `getOwnMetadata`, but inherited along the prototypes. */
function getMetadata(key: unknown, target: object): unknown {
  for (let owner: object | null = target; owner !== null; owner = Object.getPrototypeOf(owner) as object | null)
    if (metadata.get(owner)?.has(key) === true) return getOwnMetadata(key, owner);
  return undefined;
}

function defineMetadata(key: unknown, value: unknown, target: object): void {
  metadata.set(target, (metadata.get(target) ?? new Map<unknown, unknown>()).set(key, value));
}

// An implementation that is there already is left alone.
if (!('getMetadata' in Reflect)) Object.assign(Reflect, { getOwnMetadata, getMetadata, defineMetadata });
