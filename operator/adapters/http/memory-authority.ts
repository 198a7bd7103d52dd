import type { AuthorityState, AuthorityStore, TrustBundle } from '../../nodeapi/server/certificates.ts';

/** The CA of one process, for the embedded default: it ends with the process. */
export class MemoryAuthority implements AuthorityStore, TrustBundle {
  #stored: { readonly state: AuthorityState; readonly revision: string } | undefined;
  #bundle = '';

  load(): ReturnType<AuthorityStore['load']> {
    return Promise.resolve(this.#stored);
  }

  save(state: AuthorityState, revision: string | undefined): Promise<'saved' | 'conflict'> {
    if (revision !== this.#stored?.revision) return Promise.resolve('conflict');
    this.#stored = { state, revision: String(Number(revision ?? 0) + 1) };
    return Promise.resolve('saved');
  }

  publish(bundle: string): Promise<void> {
    this.#bundle = bundle;
    return Promise.resolve();
  }

  /** PEM certificates that were published last; '' before. */
  get published(): string {
    return this.#bundle;
  }
}
