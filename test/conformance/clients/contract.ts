/**
 * What the conformance matrix asks of a client: an unmodified library or program of Google's, behind a process that
 * speaks one JSON object per line. The process is started inside a pod's namespaces, with nothing configured but the
 * environment, and uses the library's own way to find its credentials.
 */

/** The endpoint of `list-buckets` is the fake Cloud Storage, `http://host:port`; its answer is names joined by commas. */
export type Operation =
  | { readonly operation: 'on-gce' }
  | { readonly operation: 'project-id' }
  | { readonly operation: 'zone' }
  | { readonly operation: 'email' }
  | { readonly operation: 'access-token'; readonly scopes?: readonly string[] }
  | { readonly operation: 'identity-token'; readonly audience: string }
  | { readonly operation: 'universe-domain' }
  | { readonly operation: 'list-buckets'; readonly endpoint: string };

/** For a client that can do everything. */
export const allOperations: readonly Operation['operation'][] = [
  'on-gce',
  'project-id',
  'zone',
  'email',
  'access-token',
  'identity-token',
  'universe-domain',
  'list-buckets',
];

/** One line of standard input. `fresh` asks for new credential objects: nothing cached, no connection kept. */
export type ClientRequest = Operation & { readonly id: number; readonly fresh?: boolean };

/** One line of standard output for each line of input. `on-gce` answers `true` or `false`. */
export type ClientReply =
  | { readonly id: number; readonly ok: true; readonly value: string }
  | { readonly id: number; readonly ok: false; readonly error: string };

export interface ConformanceClient {
  readonly name: string;
  /** What it can be asked. */
  readonly operations: readonly Operation['operation'][];
  /**
   * Installs or builds what it needs, once per machine; several processes may call it at once, see `builtOnce`.
   *
   * @throws {Error} with a clear text when it cannot: a client that is missing fails CI.
   */
  prepare(): Promise<PreparedClient>;
}

export interface PreparedClient {
  /** A process that answers requests until the end of its input. Credentials are kept from one request to the next. */
  readonly command: readonly [string, ...string[]];
  /** Library → version. */
  readonly versions: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}
