/** The workload objects of one MetadataProxy: a DaemonSet for its pool, or a Deployment for each node. */
import type { MetadataProxy } from '../../api/v1/index.ts';
import type { Hash } from '../../core/brand.ts';
import type { Node } from '../../core/cluster/objects.ts';
import { fieldManager, ownedLabels, proxyServiceAccount } from '../../core/names.ts';
import { labelValue } from '../labels.ts';
import type { AppliedObject, OwnedObject } from '../ports.ts';
import { podTemplate, selectorLabels } from './pod-template.ts';
import type { PodTemplate, ProxyInstallation } from './pod-template.ts';

export interface WorkloadContext {
  readonly installation: ProxyInstallation;
  readonly hash: Hash;
}

/** Changes with every change of the pod template; a workload that carries another one is outdated. */
export const templateHashAnnotation = 'metaveil.dev/template-hash';
export const nodeLabel = 'metaveil.dev/node';

/** '' for a workload that carries none. */
export function templateHashOf({ object }: OwnedObject): string {
  const { metadata } = object as { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } };
  return metadata?.annotations?.[templateHashAnnotation] ?? '';
}

/** What the DaemonSet controller tolerates for its pods; a Deployment that stands in for one must tolerate it too. */
const daemonTolerations = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/network-unavailable', operator: 'Exists', effect: 'NoSchedule' },
] as const;

/** Labels of the workloads of all MetadataProxies: the sweep finds them by these. */
export const workloadLabels: Readonly<Record<string, string>> = {
  [ownedLabels.managedBy]: fieldManager,
  [ownedLabels.ownerKind]: 'MetadataProxy',
};

/** Labels of the workloads of one MetadataProxy. */
export function ownerLabels(proxyName: string, hash: Hash): Readonly<Record<string, string>> {
  return { ...selectorLabels(ownerLabelValue(proxyName, hash)), ...workloadLabels };
}

/** The name of a MetadataProxy as a label value. */
export function ownerLabelValue(proxyName: string, hash: Hash): string {
  return labelValue(proxyName, hash);
}

/** The one ServiceAccount that proxies run as; no role is bound to it. */
export function serviceAccount(installation: ProxyInstallation): AppliedObject {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: {
      name: proxyServiceAccount,
      namespace: installation.namespace,
      labels: { 'app.kubernetes.io/name': 'metaveil', [ownedLabels.managedBy]: fieldManager },
    },
    automountServiceAccountToken: false,
  };
}

export function daemonSet(proxy: MetadataProxy, { installation, hash }: WorkloadContext): AppliedObject {
  const selector = selectorLabels(ownerLabelValue(proxy.metadata.name, hash));
  const template = podTemplate(proxy.spec, selector, installation);
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: {
      name: workloadName(proxy, '', hash),
      namespace: installation.namespace,
      labels: ownerLabels(proxy.metadata.name, hash),
      annotations: { [templateHashAnnotation]: hash(JSON.stringify(template)) },
    },
    spec: {
      selector: { matchLabels: selector },
      // The new instance serves before the old one goes: zero failed requests during an update.
      updateStrategy: {
        type: 'RollingUpdate',
        rollingUpdate: { maxSurge: intOrPercentage(proxy.spec.maxUnavailable), maxUnavailable: 0 },
      },
      template,
    },
  };
}

/** Owned by the Node, so that it goes with it. Never `nodeName`: that would bypass the scheduler. */
export function deployment(proxy: MetadataProxy, node: Node, { installation, hash }: WorkloadContext): AppliedObject {
  const onNode = { [nodeLabel]: labelValue(node.name, hash) };
  const selector = { ...selectorLabels(ownerLabelValue(proxy.metadata.name, hash)), ...onNode };
  const template = pinned(podTemplate(proxy.spec, selector, installation), node.name);
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: workloadName(proxy, node.name, hash),
      namespace: installation.namespace,
      labels: { ...ownerLabels(proxy.metadata.name, hash), ...onNode },
      annotations: { [templateHashAnnotation]: hash(JSON.stringify(template)) },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: node.name, uid: node.uid }],
    },
    spec: {
      replicas: 1,
      // One Deployment per node: the usual ten old ReplicaSets of each would be tens of thousands of objects.
      revisionHistoryLimit: 1,
      selector: { matchLabels: selector },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template,
    },
  };
}

function pinned(template: PodTemplate, nodeName: string): PodTemplate {
  const { tolerations } = template.spec as { readonly tolerations: readonly object[] };
  const onNode = { matchFields: [{ key: 'metadata.name', operator: 'In', values: [nodeName] }] };
  return {
    metadata: {
      ...template.metadata,
      annotations: { ...template.metadata.annotations, 'cluster-autoscaler.kubernetes.io/daemonset-pod': 'true' },
    },
    spec: {
      ...template.spec,
      tolerations: [...tolerations, ...daemonTolerations],
      affinity: {
        nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [onNode] } },
      },
    },
  };
}

/** `metaveil-proxy-NAME` or, for one node, `metaveil-proxy-NAME-HASH`; at most 63 characters. */
function workloadName(proxy: MetadataProxy, nodeName: string, hash: Hash): string {
  const plain = `metaveil-proxy-${proxy.metadata.name.replaceAll('.', '-')}`;
  const isExact = nodeName === '' && plain.length <= 63 && !proxy.metadata.name.includes('.');
  if (isExact) return plain;
  const suffix = hash(JSON.stringify([proxy.metadata.name, nodeName])).slice(0, 10);
  return `${plain.slice(0, 48).replace(/-+$/, '')}-${suffix}`;
}

/** Kubernetes takes a bare number only as a number. */
function intOrPercentage(text: string): number | string {
  return text.endsWith('%') ? text : Number(text);
}
