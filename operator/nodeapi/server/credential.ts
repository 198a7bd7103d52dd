/**
 * The bearer token of a call, and what it claims. Claims are read without checking any signature, and only to refuse
 * early: a flood of made-up tokens must not become a flood of TokenReviews. Nothing is ever granted on a claim.
 */
import type { NodeUid, PodUid } from '../../core/brand.ts';
import { decodeJson, integer, list, object, text } from '../wire/decode.ts';
import type { Decoder } from '../wire/decode.ts';

/** Kubernetes' tokens have about 1,200 characters. */
const maxTokenLength = 8192;

export interface CredentialClaims {
  readonly subject: string;
  readonly audiences: readonly string[];
  /** ms since the epoch. */
  readonly expiresAt: number;
  readonly podUid: PodUid;
  readonly nodeUid: NodeUid;
}

const bearer = /^Bearer ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/u;

/** The token of exactly one Authorization header. */
export function bearerToken(headers: readonly string[] | undefined): string | undefined {
  const [header, ...others] = headers ?? [];
  if (header === undefined || others.length > 0 || header.length > maxTokenLength) return undefined;
  return bearer.exec(header)?.[1];
}

const uid = text({ max: 128, form: /^.+$/u });
const decodeClaims = object({
  sub: text({ max: 512 }),
  aud: list(text({ max: 1024 }), 16),
  exp: integer(0, 8_000_000_000_000),
  'kubernetes.io': object({
    pod: object({ uid: uid as Decoder<PodUid> }),
    node: object({ uid: uid as Decoder<NodeUid> }),
  }),
});

/** Undefined for anything but a ServiceAccount token that names a pod and a node. */
export function readClaims(token: string): CredentialClaims | undefined {
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
  const decoded = decodeJson(decodeClaims, payload);
  if (decoded.kind === 'invalid') return undefined;
  const { sub, aud, exp, 'kubernetes.io': bound } = decoded.value;
  return { subject: sub, audiences: aud, expiresAt: exp * 1000, podUid: bound.pod.uid, nodeUid: bound.node.uid };
}
