import { createHash } from 'node:crypto';
import type { Node, NodeCondition } from 'kubernetes-types/core/v1.js';
import type { ClusterAccess } from './access.ts';
import { Nodes, type Stored } from './kinds.ts';

export interface NodeOptions {
  readonly labels?: Readonly<Record<string, string>>;
  /** Default: a /24 of 10.0.0.0/8 that follows from the name. */
  readonly podCIDR?: string;
  /** Default: an address of 198.18.0.0/15 (reserved for benchmarks) that follows from the name. */
  readonly internalIP?: string;
  /** As "gce://project/zone/instance". */
  readonly providerID?: string;
  readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: TaintEffect }[];
}

type TaintEffect = 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';

/**
 * Makes a Ready Node object that stands in for a kubelet. It stays Ready by itself: the controller that would
 * miss its heartbeats does not run.
 */
export async function createNode(
  cluster: ClusterAccess,
  name: string,
  options: NodeOptions = {},
): Promise<Stored<Node>> {
  const [a, b] = createHash('sha256').update(name).digest();
  const podCIDR = options.podCIDR ?? `10.${a ?? 0}.${b ?? 0}.0/24`;
  const created = await cluster.api.create(Nodes, {
    metadata: { name, labels: { ...defaultLabels(name), ...options.labels } },
    spec: { podCIDR, podCIDRs: [podCIDR], ...(options.providerID && { providerID: options.providerID }) },
    status: nodeStatus(name, options.internalIP ?? `198.18.${a ?? 0}.${b ?? 0}`),
  });
  // Admission taints every new node as not ready, and leaves it to the controller that does not run to undo that.
  return cluster.api.patch(Nodes, created.metadata, { spec: { taints: options.taints ?? null } });
}

/** Sets the node's Ready condition, as the kubelet would (True, False) or its absence (Unknown). */
export async function setNodeReady(
  cluster: ClusterAccess,
  name: string,
  status: 'True' | 'False' | 'Unknown',
): Promise<void> {
  const patch = { status: { conditions: [readyCondition(status)] } };
  await cluster.api.patch(Nodes, { name }, patch, { type: 'strategic', subresource: 'status' });
}

/** The address pods on the host network have. */
export function internalIPOf(node: Stored<Node>): string {
  const address = node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
  if (address === undefined) throw new Error(`node ${node.metadata.name} has no InternalIP`);
  return address;
}

function defaultLabels(name: string): Record<string, string> {
  return { 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64', 'kubernetes.io/hostname': name };
}

function nodeStatus(name: string, internalIP: string): NonNullable<Node['status']> {
  const resources = { cpu: '8', memory: '32Gi', pods: '250', 'ephemeral-storage': '100Gi' };
  return {
    capacity: resources,
    allocatable: resources,
    addresses: [
      { type: 'InternalIP', address: internalIP },
      { type: 'Hostname', address: name },
    ],
    conditions: [readyCondition('True')],
    nodeInfo: {
      architecture: 'amd64',
      operatingSystem: 'linux',
      osImage: 'none',
      kernelVersion: '6.18.0',
      containerRuntimeVersion: 'none://1',
      kubeletVersion: 'v1.36.3',
      kubeProxyVersion: '',
      bootID: name,
      machineID: name,
      systemUUID: name,
    },
  };
}

function readyCondition(status: 'True' | 'False' | 'Unknown'): NodeCondition {
  const now = new Date().toISOString();
  const reason = status === 'True' ? 'KubeletReady' : 'KubeletNotReady';
  return { type: 'Ready', status, reason, lastHeartbeatTime: now, lastTransitionTime: now };
}
