/** What the node API's client needs of its host. */

/** Mounted files, read anew when they change: kubelet replaces both while the proxy runs. */
export interface Credentials {
  /** The projected ServiceAccount token. Secret. Throws invalid-configuration when it cannot be read. */
  token(): Promise<string>;
  /** PEM certificates of the CAs to trust. Throws invalid-configuration when they cannot be read. */
  caBundle(): Promise<string>;
}

/** The snapshot that survives a restart of the proxy while the controller is away. It never contains a secret. */
export interface LastGoodFile {
  /** Undefined if there is none. */
  read(): Promise<string | undefined>;
  /** Replaces it as a whole: a reader sees the old or the new one. */
  write(text: string): Promise<void>;
}
