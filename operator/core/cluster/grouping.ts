/**
 * A secondary index: objects by a group such as their node. An object that moves leaves its old group before it enters
 * the new one, so no reader ever sees it in two.
 */
export class Grouping<T> {
  readonly #groups = new Map<string, Map<string, T>>();
  readonly #groupOf: (object: T) => string;

  /** `groupOf` may answer '' for an object that belongs to no group. */
  constructor(groupOf: (object: T) => string) {
    this.#groupOf = groupOf;
  }

  move(key: string, previous: T | undefined, current: T | undefined): void {
    const from = previous === undefined ? '' : this.#groupOf(previous);
    const to = current === undefined ? '' : this.#groupOf(current);
    if (from !== '' && from !== to) this.#leave(from, key);
    if (to !== '' && current !== undefined) this.#enter(to, key, current);
  }

  members(group: string): readonly T[] {
    const members = this.#groups.get(group);
    return members === undefined ? [] : [...members.values()];
  }

  #enter(group: string, key: string, object: T): void {
    const members = this.#groups.get(group) ?? new Map<string, T>();
    members.set(key, object);
    this.#groups.set(group, members);
  }

  #leave(group: string, key: string): void {
    const members = this.#groups.get(group);
    members?.delete(key);
    // Empty groups go too: nodes and namespaces come and go for years.
    if (members?.size === 0) this.#groups.delete(group);
  }
}
