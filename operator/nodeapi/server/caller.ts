/**
 * Who is a proxy. All conditions of the design, as a chain: the first that fails is the answer, and whoever passes
 * none of them is nobody.
 */
import type { NodeUid, PodUid } from '../../core/brand.ts';
import type { RefusalCode } from '../wire/errors.ts';
import type { AuthenticatedUser, ProxyPod, ProxyPods } from './ports.ts';

/** A proxy that was proven to run in this pod, on this node. */
export interface ProxyCaller {
  readonly kind: 'proxy';
  readonly pod: ProxyPod;
  /** End of its credential, ms since the epoch. */
  readonly credentialExpiresAt: number;
}

export type CallerVerdict =
  ProxyCaller | { readonly kind: 'nobody'; readonly code: RefusalCode; readonly retryAfterMs?: number };

const extraPrefix = 'authentication.kubernetes.io/';

/** Name, pod and node that the API server vouches for; undefined unless each is there exactly once. */
interface BoundIdentity {
  readonly podUid: PodUid;
  readonly nodeName: string;
  readonly nodeUid: NodeUid;
}

function boundIdentity(user: AuthenticatedUser): BoundIdentity | undefined {
  const once = (key: string): string => {
    const values = Object.hasOwn(user.extra, extraPrefix + key) ? (user.extra[extraPrefix + key] ?? []) : [];
    return values.length === 1 ? (values[0] ?? '') : '';
  };
  const [podUid, nodeName, nodeUid] = [once('pod-uid'), once('node-name'), once('node-uid')];
  if (podUid === '' || nodeName === '' || nodeUid === '') return undefined;
  return { podUid: podUid as PodUid, nodeName, nodeUid: nodeUid as NodeUid };
}

export type ProxyVerdict =
  { readonly kind: 'proxy'; readonly pod: ProxyPod } | { readonly kind: 'nobody'; readonly code: RefusalCode };

/**
 * The proxy pod that `user` is. The informer has the last word: a pod that is gone, was never ours, or whose node was
 * replaced is refused although its token may still be valid (it is for seconds after a pod, and for long after a
 * node).
 */
export function proxyOf(user: AuthenticatedUser, proxyUsername: string, pods: ProxyPods): ProxyVerdict {
  if (user.username !== proxyUsername) return nobody('not-the-proxy');
  const identity = boundIdentity(user);
  if (identity === undefined) return nobody('not-bound-to-pod');
  const pod = pods.find(identity.podUid);
  if (pod?.uid !== identity.podUid) return nobody('pod-unknown');
  if (pod.nodeName !== identity.nodeName) return nobody('node-mismatch');
  if (pod.nodeUid !== identity.nodeUid) return nobody('node-replaced');
  return { kind: 'proxy', pod };
}

function nobody(code: RefusalCode): Extract<ProxyVerdict, { kind: 'nobody' }> {
  return { kind: 'nobody', code };
}
