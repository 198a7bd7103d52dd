/** The MetadataProxy of a node, resolved for this node: platform and emulated values. */
import type { MetadataProxy } from '../../api/v1/index.ts';
import type { Hash } from '../brand.ts';
import type { Node } from '../cluster/objects.ts';
import type { ClusterView } from '../cluster/store.ts';
import { defaultProviderName } from '../identity/view.ts';
import type { EmulatedInstance, NodeSettings, Platform } from './types.ts';

const platformOfScheme: Readonly<Record<string, Platform>> = { gce: 'GCE', aws: 'AWS', azure: 'Azure' };

/** `Auto` goes by the scheme of the node's providerID; an unknown one has no metadata server we know. */
export function platformOf(proxy: MetadataProxy, node: Node): Platform {
  const { platform } = proxy.spec;
  return platform === 'Auto' ? platformOfNode(node) : platform;
}

/** What the node itself says, whatever a MetadataProxy says. */
export function platformOfNode({ providerID }: Node): Platform {
  const scheme = /^([a-z]+):\/\//.exec(providerID)?.[1] ?? '';
  return Object.hasOwn(platformOfScheme, scheme) ? (platformOfScheme[scheme] ?? 'None') : 'None';
}

export function nodeSettings(node: Node, proxy: MetadataProxy, cluster: ClusterView, hash: Hash): NodeSettings {
  const { mode, defaultProfile, unboundWorkloads, hostNetworkWorkloads } = proxy.spec;
  return {
    nodeName: node.name,
    nodeUid: node.uid,
    proxyName: proxy.metadata.name,
    mode,
    defaultProfile,
    unboundWorkloads,
    hostNetworkWorkloads,
    platform: platformOf(proxy, node),
    emulated: emulatedInstance(node, proxy, cluster, hash),
  };
}

/** What the user gives comes first, then what the node's own objects say; the rest stays absent and answers 404. */
function emulatedInstance(node: Node, proxy: MetadataProxy, cluster: ClusterView, hash: Hash): EmulatedInstance {
  const { attributes = {}, ...given } = proxy.spec.emulated ?? {};
  const zone = node.labels['topology.kubernetes.io/zone'];
  const clusterUid = cluster.namespace('kube-system')?.uid;
  return {
    instanceId: instanceIdOf(node, hash),
    instanceName: node.name,
    hostname: node.name,
    universeDomain: cluster.provider(defaultProviderName)?.spec.universeDomain ?? 'googleapis.com',
    ...(zone !== undefined && { zone }),
    ...(clusterUid !== undefined && { clusterUid }),
    ...gceInstance(node.providerID),
    ...given,
    attributes,
  };
}

/** Said by `gce://PROJECT/ZONE/NAME`; nothing by every other form. */
function gceInstance(providerID: string) {
  const [, projectId, zone, instanceName] = /^gce:\/\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(providerID) ?? [];
  if (projectId === undefined || zone === undefined || instanceName === undefined) return {};
  return { projectId, zone, instanceName };
}

/** Positive, below 2^63 like Google's, and the same for as long as the Node object lives. */
function instanceIdOf(node: Node, hash: Hash): string {
  const id = BigInt(`0x${hash(node.uid).slice(0, 16)}`) & 0x7fff_ffff_ffff_ffffn;
  return String(id === 0n ? 1n : id);
}
