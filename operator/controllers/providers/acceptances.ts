/** When Google last accepted a token of this cluster, per provider. */
export class Acceptances {
  readonly #lastAt = new Map<string, number>();
  readonly #listeners = new Set<(provider: string) => void>();

  /** `at`: ms since the epoch. */
  record(provider: string, at: number): void {
    this.#lastAt.set(provider, Math.max(at, this.#lastAt.get(provider) ?? 0));
    for (const listener of this.#listeners) listener(provider);
  }

  lastAt(provider: string): number | undefined {
    return this.#lastAt.get(provider);
  }

  /** Returns how to stop listening. */
  onChange(listener: (provider: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  forget(provider: string): void {
    this.#lastAt.delete(provider);
  }
}
