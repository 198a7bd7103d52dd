/** What the node of the benchmark knows: 250 pods, each with a binding and two policies; and how that changes. */
import type { PolicyUid } from '../../operator/core/brand.ts';
import { compilePattern } from '../../operator/core/policy/compile.ts';
import type { Resource } from '../../operator/core/snapshot/types.ts';
import { bindingView, policy, settings, workload } from '../unit/nodeapi/resources.ts';

export const nodeName = 'node';
export const podCount = 250;

/** The project's id as each platform serves it. */
export const projects = { None: 'my-project', GCE: 'real-project' } as const;

/** One state of the node. */
export interface NodeState {
  /** GCE: the node has a real metadata server, which is asked. */
  readonly platform: 'None' | 'GCE';
  /** Each change gives some pods a new epoch of their binding, so that their tokens are fetched anew, and one a new uid. */
  readonly changes: number;
}

/** `address` is the first pod's, the one that sends the load. */
export function resourcesOf(address: string, { platform, changes }: NodeState): readonly Resource[] {
  const policies = [
    policy('namespace', {
      conceal: patterns('instance/attributes/ssh-keys', 'instance/disks/**', `changed-${changes}`),
    }),
    policy('cluster', { kind: 'ClusterMetadataPolicy', namespace: '', conceal: patterns('project/attributes/**') }),
  ];
  const selecting = policies.map(({ id }) => id as PolicyUid);
  const pods = Array.from({ length: podCount }, (_, index) => {
    const name = index === podCount - 1 ? `app-${index}-${changes}` : `app-${index}`;
    // The same tenth again after ten changes.
    const epoch = `${Math.floor((changes + (index % 10)) / 10)}`;
    return boundPod(name, epoch, index === 0 ? address : `10.79.1.${index}`, selecting);
  });
  return [settings(nodeName, { platform }), ...policies, ...pods];
}

function boundPod(name: string, epoch: string, address: string, policies: readonly PolicyUid[]): Resource {
  const pod = workload(name, bindingView(name, { epoch }));
  return pod.kind === 'workload' ? { ...pod, body: { ...pod.body, ips: [address], policies } } : pod;
}

function patterns(...texts: readonly string[]) {
  return texts.map((text) => {
    const compiled = compilePattern(text);
    if (compiled.kind !== 'compiled') throw new Error(`not a pattern: ${text}`);
    return compiled.pattern;
  });
}
