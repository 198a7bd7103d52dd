import type { EgressRule, KubernetesLabelSelector, NetworkPolicy } from '../../../core/cluster/objects.ts';
import { isRecord, metaOf, recordAt, recordsAt, textAt, textsAt, wordsAt, type RawObject } from './raw.ts';

type Peer = NonNullable<EgressRule['to']>[number];
type Port = NonNullable<EgressRule['ports']>[number];

/** A networking.k8s.io/v1 NetworkPolicy, as far as egress is concerned; undefined if it has no name. */
export function projectNetworkPolicy(raw: RawObject): NetworkPolicy | undefined {
  const meta = metaOf(raw);
  if (meta === undefined) return undefined;
  const spec = recordAt(raw, 'spec');
  return {
    kind: 'NetworkPolicy',
    uid: meta.uid,
    namespace: meta.namespace,
    name: meta.name,
    labels: meta.labels,
    podSelector: projectSelector(recordAt(spec, 'podSelector')),
    policyTypes: wordsAt(spec, 'policyTypes'),
    egress: recordsAt(spec, 'egress').map(projectRule),
  };
}

/** An absent list stays absent: it means "any". */
function projectRule(raw: RawObject): EgressRule {
  return {
    ...(Array.isArray(raw['to']) && { to: recordsAt(raw, 'to').map(projectPeer) }),
    ...(Array.isArray(raw['ports']) && { ports: recordsAt(raw, 'ports').map(projectPort) }),
  };
}

function projectPeer(raw: RawObject): Peer {
  const { ipBlock, podSelector, namespaceSelector } = raw;
  return {
    ...(isRecord(ipBlock) && { ipBlock: { cidr: textAt(ipBlock, 'cidr'), except: wordsAt(ipBlock, 'except') } }),
    ...(isRecord(podSelector) && { podSelector: projectSelector(podSelector) }),
    ...(isRecord(namespaceSelector) && { namespaceSelector: projectSelector(namespaceSelector) }),
  };
}

function projectPort({ protocol, port, endPort }: RawObject): Port {
  return {
    ...(typeof protocol === 'string' && { protocol }),
    ...((typeof port === 'string' || typeof port === 'number') && { port }),
    ...(typeof endPort === 'number' && { endPort }),
  };
}

function projectSelector(raw: RawObject): KubernetesLabelSelector {
  return {
    ...(isRecord(raw['matchLabels']) && { matchLabels: textsAt(raw, 'matchLabels') }),
    ...(Array.isArray(raw['matchExpressions']) && {
      matchExpressions: recordsAt(raw, 'matchExpressions').map((expression) => ({
        key: textAt(expression, 'key'),
        operator: textAt(expression, 'operator'),
        values: wordsAt(expression, 'values'),
      })),
    }),
  };
}
