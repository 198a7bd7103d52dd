import type { ContainerStatus, Pod, PodCondition } from 'kubernetes-types/core/v1.js';
import type { ClusterAccess } from './access.ts';
import { objectPath, type Ref } from './api.ts';
import { Nodes, Pods, type Stored } from './kinds.ts';
import { internalIPOf } from './nodes.ts';

export interface Placement {
  readonly node: string;
  /** Required unless the pod is on the host network; then it has the node's address. */
  readonly podIP?: string | undefined;
}

/**
 * Does what scheduler and kubelet do for a pod: binds it to the node unless it is bound, and reports it Running,
 * and Ready as far as its readiness gates are.
 *
 * @throws {Error} when the pod is bound to another node
 */
export async function bindAndRun(cluster: ClusterAccess, pod: Ref, placement: Placement): Promise<Stored<Pod>> {
  const ref = { namespace: pod.namespace ?? 'default', name: pod.name };
  const bound = await bind(cluster, ref, placement.node);
  const hostIP = internalIPOf(await cluster.api.get(Nodes, { name: placement.node }));
  const podIP = bound.spec?.hostNetwork === true ? hostIP : placement.podIP;
  if (podIP === undefined) throw new Error(`pod ${ref.name} is not on the host network and needs a podIP`);
  return patchStatus(cluster, ref, {
    phase: 'Running',
    startTime: new Date().toISOString(),
    hostIP,
    hostIPs: [{ ip: hostIP }],
    podIP,
    podIPs: [{ ip: podIP }],
    conditions: [condition('PodScheduled', true), condition('Initialized', true), ...readiness(bound)],
    containerStatuses: containerStatuses(bound),
    initContainerStatuses: initContainerStatuses(bound),
  });
}

/** Reports Ready anew after a readiness gate changed; undefined when it is right already. */
export async function refreshReadiness(cluster: ClusterAccess, pod: Stored<Pod>): Promise<Stored<Pod> | undefined> {
  const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
  if (ready === gatesOpen(pod)) return undefined;
  return patchStatus(cluster, pod.metadata, { conditions: readiness(pod) });
}

/** Lets a running pod end by itself: its containers exit, its IP stays in its status, as it really does. */
export async function finishPod(
  cluster: ClusterAccess,
  pod: Ref,
  phase: 'Succeeded' | 'Failed' = 'Succeeded',
): Promise<Stored<Pod>> {
  const ref = { namespace: pod.namespace ?? 'default', name: pod.name };
  const found = await cluster.api.get(Pods, ref);
  const reason = phase === 'Succeeded' ? 'Completed' : 'Error';
  const at = new Date().toISOString();
  const terminated = { exitCode: phase === 'Succeeded' ? 0 : 1, reason, startedAt: at, finishedAt: at };
  return patchStatus(cluster, ref, {
    phase,
    conditions: [condition('ContainersReady', false), condition('Ready', false)],
    containerStatuses: containerStatuses(found).map((status) => ({
      ...status,
      ready: false,
      started: false,
      state: { terminated: { ...terminated, containerID: status.containerID } },
    })),
  });
}

/** Deletes a pod for good at once, as the kubelet does when the last container is gone. Already gone is fine. */
export async function removePod(cluster: ClusterAccess, pod: Ref & { readonly uid?: string }): Promise<void> {
  const ref = { namespace: pod.namespace ?? 'default', name: pod.name };
  if ((await cluster.api.find(Pods, ref)) === undefined) return;
  await cluster.api.delete(Pods, ref, { gracePeriodSeconds: 0, ...(pod.uid && { uid: pod.uid }) });
}

async function bind(cluster: ClusterAccess, ref: Ref, node: string): Promise<Stored<Pod>> {
  const pod = await cluster.api.get(Pods, ref);
  const current = pod.spec?.nodeName;
  if (current === node) return pod;
  if (current !== undefined) throw new Error(`pod ${ref.name} is bound to ${current}, not to ${node}`);
  await cluster.api.send({
    method: 'POST',
    path: objectPath(Pods, ref, 'binding'),
    body: {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: ref.name },
      target: { apiVersion: 'v1', kind: 'Node', name: node },
    },
  });
  return pod;
}

/** Strategic merge: conditions that others own, readiness gates among them, stay. */
function patchStatus(cluster: ClusterAccess, ref: Ref, status: object): Promise<Stored<Pod>> {
  return cluster.api.patch(Pods, ref, { status }, { type: 'strategic', subresource: 'status' });
}

function readiness(pod: Stored<Pod>): PodCondition[] {
  return [condition('ContainersReady', true), condition('Ready', gatesOpen(pod))];
}

function gatesOpen(pod: Stored<Pod>): boolean {
  const conditions = pod.status?.conditions ?? [];
  return (pod.spec?.readinessGates ?? []).every((gate) =>
    conditions.some(({ type, status }) => type === gate.conditionType && status === 'True'),
  );
}

function condition(type: string, holds: boolean): PodCondition {
  return { type, status: holds ? 'True' : 'False', lastTransitionTime: new Date().toISOString() };
}

function containerStatuses(pod: Stored<Pod>): ContainerStatus[] {
  return (pod.spec?.containers ?? []).map((container) => runningStatus(container.name, container.image));
}

/** A sidecar (restartPolicy Always) goes on running; any other init container is done. */
function initContainerStatuses(pod: Stored<Pod>): ContainerStatus[] {
  return (pod.spec?.initContainers ?? []).map((container) => {
    const status = runningStatus(container.name, container.image);
    if (container.restartPolicy === 'Always') return status;
    const at = new Date().toISOString();
    const terminated = { exitCode: 0, reason: 'Completed', startedAt: at, finishedAt: at };
    return { ...status, started: false, state: { terminated } };
  });
}

function runningStatus(name: string, image = 'none'): ContainerStatus {
  return {
    name,
    image,
    imageID: image,
    containerID: `none://${name}`,
    ready: true,
    started: true,
    restartCount: 0,
    state: { running: { startedAt: new Date().toISOString() } },
  };
}
