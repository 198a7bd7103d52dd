/**
 * Every event the product logs and every field such a line can have, with what it means. A name that is not here
 * cannot be logged; add it here with its sentence.
 */
export const logEvents = {
  'proxy-listening': 'The proxy accepts connections.',
  'proxy-draining': 'The proxy was asked to end and finishes the requests it has.',
  'proxy-stopped': 'The proxy has ended.',
  'request-denied': 'A request was refused; `code` says why and `trace` which rule decided.',
  'request-failed': 'A request ended in an error of our own; the pod got a 500.',
  'connection-refused': 'A connection was closed before its first request: its pod has too many, or it spoke no HTTP.',
  'denials-suppressed': 'One pod was refused so often that `count` further lines were left out.',
  'audit-finding': 'A request was served that an Audit policy would have concealed.',
  'snapshot-received': 'The proxy decides from a new snapshot of its node.',
  'token-issued': 'A token arrived from the controller and was cached.',
  'token-refused': 'The controller refused a token; `reason` has what Google or the controller said.',
  'token-failed': 'A token could not be fetched; a cached one is served while it is valid.',
  'tokens-dropped': 'Cached tokens of a binding were dropped because it changed, went away or has no workload left.',
  'controller-connected': 'The node API is connected.',
  'controller-disconnected': 'The node API is not reachable; the proxy goes on with what it has.',
  'leave-answered': 'The controller answered whether this node is released.',
  'frame-refused': 'The controller sent a frame that does not decode; the connection is made anew.',
  'resource-refused': 'A policy, workload or setting was not taken over by a node; the last good one stays in force.',
  'last-good-unusable':
    'The snapshot of the last run could not be read or written; the proxy waits for the controller.',
  'nodeapi-listening': 'The node API accepts connections.',
  'nodeapi-call-refused': 'A call to the node API was refused; `code` says by which rule.',
  'nodeapi-call-failed': 'A call to the node API ended in an error of our own.',
  'nodeapi-watch-opened': 'A proxy watches its node.',
  'nodeapi-watch-closed': 'A watch ended; `reason` says why.',
  'nodeapi-token-refused': 'A proxy was refused a token; `reason` says why.',
  'nodeapi-exchange-failed': 'A token could not be had from Kubernetes or Google; `error` has their reason.',
  'nodeapi-certificate-changed': "The node API's own CA or server certificate was made, renewed or retired.",
} as const satisfies Record<string, string>;

export type LogEvent = keyof typeof logEvents;

/** Fields; values are strings, numbers or booleans. */
export const logFields = {
  code: 'Stable code of a denial or an error.',
  status: 'HTTP status that was answered.',
  method: 'HTTP method of the request.',
  path: 'Canonical path, or the bounded and escaped request target where it has none.',
  v1Path: 'The v1 path to use instead of a legacy one.',
  trace: 'Steps of the policy evaluation, in order.',
  policy: 'Policy as kind/namespace/name.',
  namespace: 'Namespace of the pod.',
  pod: 'Name of the pod.',
  podUid: 'Uid of the pod.',
  serviceAccount: 'Name of the ServiceAccount.',
  binding: 'Name of the binding.',
  generation: 'Generation of the binding.',
  source: 'Source address of a connection.',
  address: 'Address and port that a server listens on, or that a client talks to.',
  count: 'How many.',
  durationMs: 'How long it took, in ms.',
  expiresInSeconds: 'Lifetime of a token that was received, in seconds.',
  kind: 'Kind of a token (access, identity), an object or a change.',
  name: 'Name of an object.',
  node: 'Name of the node.',
  version: 'Version of a snapshot, or of the program.',
  reason: 'Why, in one word or one sentence.',
  error: 'Code and message of an error; never a raw reply of a server.',
} as const satisfies Record<string, string>;

export type LogField = keyof typeof logFields;
