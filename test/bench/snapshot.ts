/** What the node of the benchmark knows: 250 pods, each with a binding and two policies. */
import type { PolicyUid } from '../../operator/core/brand.ts';
import { compilePattern } from '../../operator/core/policy/compile.ts';
import type { NodeSnapshot, Resource } from '../../operator/core/snapshot/types.ts';
import { bindingView, policy, settings, snapshot, workload } from '../unit/nodeapi/resources.ts';

export const nodeName = 'node';
export const podCount = 250;

/** `address` is the first pod's, the one that sends the load. */
export function snapshotWithPods(address: string): NodeSnapshot {
  const policies = [
    policy('namespace', { conceal: patterns('instance/attributes/ssh-keys', 'instance/disks/**') }),
    policy('cluster', { kind: 'ClusterMetadataPolicy', namespace: '', conceal: patterns('project/attributes/**') }),
  ];
  const selecting = policies.map(({ id }) => id as PolicyUid);
  const pods = Array.from({ length: podCount }, (_, index) =>
    boundPod(`app-${index}`, index === 0 ? address : `10.79.1.${index}`, selecting),
  );
  return snapshot(settings(nodeName, { platform: 'None' }), ...policies, ...pods);
}

function boundPod(name: string, address: string, policies: readonly PolicyUid[]): Resource {
  const pod = workload(name, bindingView(name));
  return pod.kind === 'workload' ? { ...pod, body: { ...pod.body, ips: [address], policies } } : pod;
}

function patterns(...texts: readonly string[]) {
  return texts.map((text) => {
    const compiled = compilePattern(text);
    if (compiled.kind !== 'compiled') throw new Error(`not a pattern: ${text}`);
    return compiled.pattern;
  });
}
