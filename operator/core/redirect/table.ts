/**
 * The table, as a value. Only TCP port 80 of the metadata addresses is touched: DNS and NTP live on the same address.
 * There is no output hook for requests: the host's own daemons keep the node's metadata server.
 */
import { markerText } from './marker.ts';
import {
  accept,
  address,
  counter,
  dnat,
  drop,
  isFromLoopback,
  isOffReversePath,
  isOverLimit,
  isRedirected,
  isRoutedElsewhereThan,
  originalAddress,
  originalPort,
  reset,
  tcpFlag,
  tcpPort,
  tcpSequence,
  type Expression,
  type NftChain,
  type NftRule,
  type NftSet,
  type SourceLimit,
} from './nft.ts';
import type { RedirectPlan } from './plan.ts';

export interface Table {
  readonly sets: readonly NftSet[];
  readonly chains: readonly NftChain[];
  /** In order within each chain. */
  readonly rules: readonly NftRule[];
}

/** The set whose one element's comment is the marker: it survives `flush table`, and every nft lists it. */
export const markerSet = 'owner';

const metadataPort = 80;

/**
 * New connections of one pod. All pods' wait in one queue for the proxy: whoever made them faster than it takes them
 * would have everybody wait. What is over the limit is dropped, so that the pod's kernel asks again a second later; a
 * refusal would be taken for "no metadata server".
 */
export const newConnections: SourceLimit = { perSecond: 100, burst: 32, sources: 4_096, forgetAfter: 60 };

/** Cilium routes pods' addresses to this interface instead of theirs, and checks their sources itself. */
const sourceCheckedInterface = 'cilium_host';

const families = [
  { family: 'ip', metadata: 'metadata4', key: 'ipv4', type: 'ipv4_addr', meter: 'fresh4' },
  { family: 'ip6', metadata: 'metadata6', key: 'ipv6', type: 'ipv6_addr', meter: 'fresh6' },
] as const;

const chains = [
  // Before kube-proxy's and iptables' -100: the first chain that translates a connection decides.
  { name: 'divert', type: 'nat', hook: 'prerouting', prio: -105, policy: 'accept' },
  { name: 'enter', type: 'filter', hook: 'input', prio: 0, policy: 'accept' },
  { name: 'bypass', type: 'filter', hook: 'forward', prio: 0, policy: 'accept' },
  { name: 'answer', type: 'filter', hook: 'output', prio: 0, policy: 'accept' },
] as const satisfies readonly NftChain[];

type ChainName = (typeof chains)[number]['name'];

/** Everything in the table of this plan. */
export function tableOf(plan: RedirectPlan): Table {
  return { sets: sets(plan), chains, rules: [...divert(plan), ...enter(), ...bypass(), ...answer()] };
}

function sets(plan: RedirectPlan): readonly NftSet[] {
  const marker = { elem: { val: 1, comment: markerText(plan) } };
  return [
    { name: markerSet, type: 'mark', elem: [marker] },
    { name: 'ports', type: 'inet_service', elem: plan.ports },
    ...families.map(({ metadata, key, type }) => setOfAddresses(metadata, type, plan.metadata[key])),
  ];
}

function setOfAddresses(name: string, type: NftSet['type'], elem: readonly string[]): NftSet {
  return elem.length === 0 ? { name, type } : { name, type, elem };
}

/**
 * Sends pods' requests to the node's own address. `redirect` would pick the address of the interface, which a pod's
 * veth need not have; a loopback address needs route_localnet. A source that the pod's interface cannot have is spoofed.
 */
function divert(plan: RedirectPlan): readonly NftRule[] {
  const perFamily = families.flatMap(({ family, metadata, key, meter }) => {
    const toMetadata = [address(family, 'daddr', metadata), tcpPort('dport', metadataPort)];
    const target = plan.nodeAddresses[key];
    const spoofed = [...toMetadata, isOffReversePath, isRoutedElsewhereThan(sourceCheckedInterface), drop];
    if (target === undefined) return [spoofed];
    return [
      spoofed,
      [...toMetadata, isOverLimit(family, meter, newConnections), counter, drop],
      [...toMetadata, dnat(family, target, plan.port)],
    ];
  });
  return rulesOf('divert', [[isFromLoopback, accept], ...perFamily]);
}

/**
 * Who may reach the proxy: connections that were made to the metadata address, and the host. "Was translated" is not
 * enough, because a Service with the node's address as its endpoint is translated too, and is open to other nodes.
 */
function enter(): readonly NftRule[] {
  const toProxy = tcpPort('dport', '@ports');
  return rulesOf('enter', [
    [isFromLoopback, toProxy, accept],
    ...families.map(({ family, metadata }) => [
      toProxy,
      isRedirected,
      originalAddress(family, metadata),
      originalPort(metadataPort),
      accept,
    ]),
    [toProxy, reset],
  ]);
}

/**
 * Closes what the redirect did not catch: connections from before it, packets that connection tracking was told to
 * ignore, a family in which the node has no address. What the host itself sends or gets is never forwarded.
 */
function bypass(): readonly NftRule[] {
  const perFamily = families.flatMap(({ family, metadata }) => [
    [address(family, 'daddr', metadata), tcpPort('dport', metadataPort), reset],
    [address(family, 'saddr', metadata), tcpPort('sport', metadataPort), drop],
  ]);
  return rulesOf('bypass', perFamily);
}

/**
 * While the proxy restarts, the kernel would refuse connections, which some clients take for "no metadata server" for
 * the rest of their lives. Without the refusal they send their SYN again. A refusal is a reset with sequence number 0
 * that acknowledges; resets of established connections differ in both and pass, so that nobody waits for a dead peer.
 */
function answer(): readonly NftRule[] {
  const isRefusal = [tcpPort('sport', '@ports'), tcpFlag('rst'), tcpFlag('ack'), tcpSequence(0)];
  const perFamily = families.map(({ family, metadata }) => [...isRefusal, originalAddress(family, metadata), drop]);
  return rulesOf('answer', perFamily);
}

function rulesOf(chain: ChainName, expressions: readonly (readonly Expression[])[]): readonly NftRule[] {
  return expressions.map((expr) => ({ chain, expr }));
}
