/** What a request may have, so that reading it costs little whatever a pod sends. Bytes are those of the wire. */
export const requestLimits = {
  /** Path and query together. */
  targetBytes: 4_096,
  pathBytes: 1_024,
  segments: 18,
  /** Real clients send at most a dozen headers; a service mesh adds a few. */
  headers: 64,
  /** With the target; what web servers commonly allow. */
  headerBytes: 8_192,
  hostBytes: 255,
  queryParameters: 64,
  etagBytes: 128,
} as const;
