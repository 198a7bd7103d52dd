/** Who answers the metadata requests of a pod: an ordered chain of reasons why it is not a proxy of ours. */
import type { MetadataProxy } from '../api/v1/index.ts';
import { objectKey } from '../core/cluster/kinds.ts';
import { isLive } from '../core/cluster/objects.ts';
import type { Node, Pod } from '../core/cluster/objects.ts';
import type { ClusterView } from '../core/cluster/store.ts';
import type { PolicySubject } from '../core/policy/decision.ts';
import { owningProxy, selectsNode } from '../core/snapshot/ownership.ts';
import { quote } from '../local/problem.ts';
import type { Coverage } from './ports.ts';

/** @param subject what the snapshot of the pod's node says about the pod */
export function coverageOf(pod: Pod, cluster: ClusterView, subject: PolicySubject | undefined): Coverage {
  const key = quote(objectKey(pod.namespace, pod.name));
  if (!isLive(pod)) return nobody(`pod ${key} has finished (${pod.phase})`, 'ask about one that runs');
  if (pod.nodeName === '') {
    return nobody(`pod ${key} is not scheduled yet`, 'ask again when it is: what its node is decides');
  }
  const node = cluster.node(pod.nodeName);
  if (node === undefined) return notIntercepted(`there is no node ${pod.nodeName}`);
  const proxy = owningProxy(node, cluster.proxies());
  if (proxy === undefined) return notIntercepted(`no MetadataProxy selects node ${node.name}`);
  const refusal = refusalOf(proxy, cluster);
  if (refusal !== undefined) return notIntercepted(refusal, proxy);
  if (pod.hostNetwork) return notIntercepted("the pod is on its node's network", proxy);
  if (subject === undefined) return nobody(`no proxy knows pod ${key}`, 'see that its namespace exists');
  return { kind: 'served', subject, notes: notesOn(proxy, node, cluster) };
}

function nobody(why: string, fix: string): Coverage {
  return { kind: 'nobody', why, fix };
}

function notIntercepted(why: string, proxy?: MetadataProxy): Coverage {
  return { kind: 'not-intercepted', why, proxyName: proxy?.metadata.name ?? '' };
}

/** Why the MetadataProxy runs no proxies; undefined if it does. */
function refusalOf(proxy: MetadataProxy, cluster: ClusterView): string | undefined {
  const { metadata, spec, status } = proxy;
  const { interception } = spec;
  if (interception === 'Env' || interception === 'CiliumLocalRedirect') {
    return `MetadataProxy ${metadata.name} asks for interception: ${interception}, which is not in this version`;
  }
  const accepted = status?.conditions?.find(({ type }) => type === 'Accepted');
  if (accepted?.status === 'False' && status?.observedGeneration === metadata.generation) {
    return `MetadataProxy ${metadata.name} is not accepted (${accepted.reason}: ${accepted.message})`;
  }
  const lost = cluster.nodes().find((node) => selectsNode(proxy, node) && !owns(proxy, node, cluster));
  if (lost === undefined) return undefined;
  return `MetadataProxy ${metadata.name} is not accepted: an older one owns node ${lost.name}, which it selects`;
}

function owns(proxy: MetadataProxy, node: Node, cluster: ClusterView): boolean {
  return owningProxy(node, cluster.proxies())?.metadata.name === proxy.metadata.name;
}

function notesOn(proxy: MetadataProxy, node: Node, cluster: ClusterView): readonly string[] {
  const { metadata, spec, status } = proxy;
  const name = `MetadataProxy ${metadata.name}`;
  const younger = cluster.proxies().filter((other) => other !== proxy && selectsNode(other, node));
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  const notes = [
    spec.mode === 'Audit' && `${name} is in mode Audit: it conceals nothing and records what it would.`,
    spec.interception === 'None' && `${name} has interception: None: only requests sent to the proxy itself reach it.`,
    metadata.deletionTimestamp !== undefined && `${name} is being deleted: its nodes let go of their pods.`,
    ...younger.map((other) => `MetadataProxy ${other.metadata.name} selects node ${node.name} too; the older owns it.`),
    ready !== undefined && ready.status !== 'True' && `${name} is not Ready: ${ready.reason}: ${ready.message}`,
  ];
  return notes.filter((note) => note !== false);
}
