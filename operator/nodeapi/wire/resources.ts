/** The resources of a snapshot as they travel: one that does not decode is refused alone, not the whole frame. */
import type { BindingUid, ContentHash, NodeUid, PodUid, PolicyUid, ServiceAccountUid } from '../../core/brand.ts';
import type { Pattern, SegmentPattern } from '../../core/policy/pattern.ts';
import type {
  BindingView,
  CompiledPolicy,
  EmulatedInstance,
  NodeSettings,
  Resource,
  ResourceKey,
  VersionedResource,
  Workload,
  WorkloadIdentity,
} from '../../core/snapshot/types.ts';
import { maxAudienceLength, maxScopeLength, maxScopes } from '../../core/token/grants.ts';
import {
  boolean,
  constant,
  integer,
  invalid,
  list,
  object,
  oneOf,
  optional,
  tagged,
  text,
  textMap,
  valid,
} from './decode.ts';
import type { Decoded, Decoder } from './decode.ts';

/** Uids are UUIDs, but synthetic ones exist: visible ASCII. */
const uid = text({ max: 128, form: /^[!-~]+$/u });

export const decodePodUid = uid as Decoder<PodUid>;
export const decodeContentHash = text({ max: 128, form: /^[0-9a-f]+$/u }) as Decoder<ContentHash>;
export const decodeResourceKey = text({ max: 160, form: /^[a-z-]{1,31}\/[!-~]+$/u }) as Decoder<ResourceKey>;

const name = text({ max: 253 });
const nonEmptyText = text({ max: 1024, form: /^.+$/su });
const generation = integer(0, Number.MAX_SAFE_INTEGER);
const profile = oneOf('Privileged', 'Baseline', 'Restricted');
const mode = oneOf('Audit', 'Enforce');

const segment: Decoder<SegmentPattern> = tagged('kind', {
  literal: object({ kind: constant('literal'), text: text({ max: 256 }) }),
  glob: object({ kind: constant('glob'), parts: list(text({ max: 256 }), 64) }),
});

const pattern: Decoder<Pattern> = object({
  source: text({ max: 256 }),
  segments: list(segment, 32),
  subtree: boolean,
});

const emulated: Decoder<EmulatedInstance> = object({
  projectId: optional(name),
  numericProjectId: optional(name),
  zone: optional(name),
  instanceId: name,
  instanceName: name,
  hostname: name,
  clusterName: optional(name),
  clusterLocation: optional(name),
  clusterUid: optional(name),
  universeDomain: name,
  attributes: textMap({ max: 256 }, { max: 262_144 }, 1024),
});

const settings: Decoder<NodeSettings> = object({
  nodeName: name,
  nodeUid: uid as Decoder<NodeUid>,
  proxyName: name,
  mode,
  defaultProfile: profile,
  unboundWorkloads: oneOf('Deny', 'FederatedIdentity'),
  hostNetworkWorkloads: oneOf('Identify', 'Deny', 'Bypass'),
  platform: oneOf('GCE', 'AWS', 'Azure', 'None'),
  emulated,
});

const policy: Decoder<CompiledPolicy> = object({
  uid: uid as Decoder<PolicyUid>,
  kind: oneOf('MetadataPolicy', 'ClusterMetadataPolicy'),
  namespace: name,
  name,
  generation,
  mode,
  profile: optional(profile),
  conceal: list(pattern, 1024),
  reveal: list(pattern, 1024),
  legacyEndpoints: optional(oneOf('Deny', 'Allow')),
});

const binding: Decoder<BindingView> = object({
  uid: uid as Decoder<BindingUid>,
  name,
  generation,
  epoch: text({ max: 128 }),
  access: oneOf('Impersonate', 'Direct'),
  email: nonEmptyText,
  scopes: optional(list(text({ max: maxScopeLength }), maxScopes)),
  idTokenAudiences: optional(list(text({ max: maxAudienceLength }), 64)),
  tokenLifetimeSeconds: integer(1, 43_200),
});

const identity: Decoder<WorkloadIdentity> = tagged('kind', {
  bound: object({ kind: constant('bound'), binding }),
  unbound: object({
    kind: constant('unbound'),
    reason: oneOf('no-binding', 'suspended', 'not-accepted', 'static-pod', 'reserved-namespace'),
  }),
});

const workload: Decoder<Workload> = object({
  uid: decodePodUid,
  namespace: name,
  name,
  serviceAccount: object({ name, uid: text({ max: 128 }) as Decoder<ServiceAccountUid> }),
  hostNetwork: boolean,
  ips: list(text({ max: 45, form: /^[0-9A-Fa-f:.]+$/u }), 16),
  identity,
  policies: list(uid as Decoder<PolicyUid>, 1024),
});

const resource: Decoder<Resource> = tagged('kind', {
  settings: object({ kind: constant('settings'), id: oneOf('node'), body: settings }),
  policy: object({ kind: constant('policy'), id: uid as Decoder<PolicyUid>, body: policy }),
  workload: object({ kind: constant('workload'), id: decodePodUid, body: workload }),
});

/** A resource as it arrived: usable, or refused for a reason that is reported back. */
export type ReceivedResource =
  | { readonly kind: 'usable'; readonly versioned: VersionedResource }
  | { readonly kind: 'refused'; readonly key: ResourceKey; readonly hash: ContentHash; readonly reason: string };

const envelope = object({ key: decodeResourceKey, hash: decodeContentHash, resource: valid });

/** Fails as a whole only when not even key and hash can be told. */
export const decodeReceivedResource: Decoder<ReceivedResource> = (input) => {
  const outer = envelope(input);
  if (outer.kind === 'invalid') return outer;
  const { key, hash } = outer.value;
  const inner = consistentResource(key, outer.value.resource);
  return valid(
    inner.kind === 'valid'
      ? { kind: 'usable', versioned: { key, hash, resource: inner.value } }
      : { kind: 'refused', key, hash, reason: `${inner.at === '' ? 'resource' : inner.at}: ${inner.problem}` },
  );
};

/** A resource under a foreign key could replace another one. */
function consistentResource(key: ResourceKey, input: unknown): Decoded<Resource> {
  const decoded = resource(input);
  if (decoded.kind === 'invalid') return decoded;
  const { kind, id, body } = decoded.value;
  const bodyId = 'uid' in body ? body.uid : 'node';
  return key === `${kind}/${id}` && id === bodyId ? decoded : invalid('key, id and uid differ');
}
