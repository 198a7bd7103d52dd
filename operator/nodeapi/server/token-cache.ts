/** What was exchanged, by cache key, with an index by binding so that a revocation touches only what it concerns. */
import { LRUCache } from 'lru-cache';
import type { BindingUid, PodUid } from '../../core/brand.ts';
import type { Freshness } from '../../core/token/freshness.ts';
import type { IssuedToken, TokenKey, TokenRefusal } from '../../core/token/types.ts';

export interface TokenEntry {
  readonly key: TokenKey;
  /** The newest token; it may have ended. */
  readonly token: { readonly issued: IssuedToken; readonly freshness: Freshness } | undefined;
  /** No further exchange before (ms since the epoch). */
  readonly quietUntil: number;
  /** The last exchange failed because of this pod, which alone has to keep quiet. */
  readonly spoiledBy?: PodUid;
  /** Why the last exchange failed. */
  readonly refusal: TokenRefusal | undefined;
  /** In a row. */
  readonly failures: number;
}

const maxEntries = 100_000;
/** In characters; a token has about 1 Ki. */
const maxSize = 128 * 1024 * 1024;
/** Of an entry without its texts. */
const entrySize = 512;

export class TokenCache {
  readonly #keysByBinding = new Map<BindingUid, Set<string>>();
  readonly #entries = new LRUCache<string, TokenEntry>({
    max: maxEntries,
    maxSize,
    sizeCalculation: (entry, cacheKey) => 2 * cacheKey.length + (entry.token?.issued.token.length ?? 0) + entrySize,
    disposeAfter: (entry, cacheKey, reason) => {
      if (reason !== 'set') this.#unindex(entry.key.binding, cacheKey);
    },
  });

  get(cacheKey: string): TokenEntry | undefined {
    return this.#entries.get(cacheKey);
  }

  set(cacheKey: string, entry: TokenEntry): void {
    const { binding } = entry.key;
    this.#keysByBinding.set(binding, (this.#keysByBinding.get(binding) ?? new Set()).add(cacheKey));
    this.#entries.set(cacheKey, entry);
  }

  /** Drops the entries of these bindings whose key is stale. */
  drop(bindings: ReadonlySet<BindingUid>, stale: (key: TokenKey) => boolean): void {
    for (const binding of bindings) {
      for (const cacheKey of [...(this.#keysByBinding.get(binding) ?? [])]) {
        const entry = this.#entries.peek(cacheKey);
        if (entry === undefined || stale(entry.key)) this.#entries.delete(cacheKey);
      }
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  #unindex(binding: BindingUid, cacheKey: string): void {
    const keys = this.#keysByBinding.get(binding);
    keys?.delete(cacheKey);
    if (keys?.size === 0) this.#keysByBinding.delete(binding);
  }
}
