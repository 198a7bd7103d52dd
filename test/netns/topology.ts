/**
 * A node with three pods, another node, and the cloud with its metadata server.
 *
 *     pod-a ─┐                          ┌─ cloud: 169.254.169.254, fd20:ce::254
 *     pod-b ─┴ bridge ─ node ─── lan ───┤
 *     pod-c ─── veth ───┘               └─ other (another node)
 *
 * pod-a and pod-b are attached like the bridge plugin does it, pod-c like Calico and kindnet: a veth whose end on the
 * node has no IPv4 address, and a host route.
 */
import { Network } from './network.ts';

export const metadataServer = { ipv4: '169.254.169.254', ipv6: 'fd20:ce::254' } as const;

export const addresses = {
  node: { ipv4: '10.77.0.1', ipv6: 'fd77::1' },
  other: { ipv4: '10.77.0.2', ipv6: 'fd77::2' },
  cloud: { ipv4: '10.77.0.254', ipv6: 'fd77::254' },
  'pod-a': { ipv4: '10.78.0.10', ipv6: 'fd78::10' },
  'pod-b': { ipv4: '10.78.0.11', ipv6: 'fd78::11' },
  'pod-c': { ipv4: '10.79.0.10', ipv6: 'fd79::10' },
} as const;

export type Place = keyof typeof addresses;

const bridge = { ipv4: '10.78.0.1', ipv6: 'fd78::1' } as const;
const routedGateway = { ipv4: '169.254.1.1', ipv6: 'fe80::1', mac: 'ee:ee:ee:ee:ee:ee' } as const;

/** Throws unless root; the network has no way out. */
export function nodeNetwork(): Network {
  const network = new Network(Object.keys(addresses));
  for (const name of ['node', 'cloud'] as const) routeBetweenInterfaces(network, name);
  addLan(network);
  addCloud(network);
  network.ip('node', 'link add cni0 type bridge');
  address(network, 'node', 'cni0', bridge);
  for (const pod of ['pod-a', 'pod-b'] as const) addBridgedPod(network, pod);
  addRoutedPod(network);
  network.assertIsolated();
  return network;
}

/** The kernel's own reverse-path filter is off: tests show ours. */
function routeBetweenInterfaces(network: Network, name: string): void {
  network.setting(name, 'net.ipv4.ip_forward', 1);
  network.setting(name, 'net.ipv6.conf.all.forwarding', 1);
  for (const scope of ['all', 'default']) network.setting(name, `net.ipv4.conf.${scope}.rp_filter`, 0);
}

function address(network: Network, name: string, device: string, pair: { ipv4: string; ipv6: string }): void {
  network.ip(name, `addr add ${pair.ipv4}/24 dev ${device}`);
  network.ip(name, `addr add ${pair.ipv6}/64 dev ${device} nodad`);
  network.ip(name, `link set ${device} up`);
}

function addLan(network: Network): void {
  network.ip('cloud', 'link add lan type bridge');
  address(network, 'cloud', 'lan', addresses.cloud);
  for (const host of ['node', 'other'] as const) {
    network.ip('cloud', `link add ${host} type veth peer name eth0 netns @${host}`);
    network.ip('cloud', `link set ${host} master lan up`);
    address(network, host, 'eth0', addresses[host]);
  }
  network.ip('node', `route add ${metadataServer.ipv4} via ${addresses.cloud.ipv4}`);
  network.ip('node', `route add ${metadataServer.ipv6} via ${addresses.cloud.ipv6}`);
  // What a neighbour on the node's network would do to use the node as its way to the metadata server.
  network.ip('other', `route add ${metadataServer.ipv4} via ${addresses.node.ipv4}`);
}

function addCloud(network: Network): void {
  network.ip('cloud', `addr add ${metadataServer.ipv4}/32 dev lo`);
  network.ip('cloud', `addr add ${metadataServer.ipv6}/128 dev lo nodad`);
  network.ip('cloud', `route add 10.78.0.0/15 via ${addresses.node.ipv4}`);
  for (const range of ['fd78::/64', 'fd79::/64']) network.ip('cloud', `route add ${range} via ${addresses.node.ipv6}`);
}

function addBridgedPod(network: Network, pod: 'pod-a' | 'pod-b'): void {
  network.ip('node', `link add ${pod} type veth peer name eth0 netns @${pod}`);
  network.ip('node', `link set ${pod} master cni0 up`);
  address(network, pod, 'eth0', addresses[pod]);
  network.ip(pod, `route add default via ${bridge.ipv4}`);
  network.ip(pod, `route add default via ${bridge.ipv6}`);
}

function addRoutedPod(network: Network): void {
  const { ipv4, ipv6 } = addresses['pod-c'];
  network.ip('node', `link add pod-c address ${routedGateway.mac} type veth peer name eth0 netns @pod-c`);
  network.ip('node', 'link set pod-c up');
  network.ip('node', `addr add ${routedGateway.ipv6}/64 dev pod-c nodad`);
  network.ip('node', `route add ${ipv4} dev pod-c`);
  network.ip('node', `route add ${ipv6} dev pod-c`);
  network.ip('pod-c', 'link set eth0 up');
  network.ip('pod-c', `addr add ${ipv4}/32 dev eth0`);
  network.ip('pod-c', `addr add ${ipv6}/128 dev eth0 nodad`);
  network.ip('pod-c', `route add ${routedGateway.ipv4} dev eth0 scope link`);
  network.ip('pod-c', `route add default via ${routedGateway.ipv4}`);
  // A node with a default route would answer for the gateway by proxy ARP; this one has none.
  network.ip('pod-c', `neigh add ${routedGateway.ipv4} lladdr ${routedGateway.mac} dev eth0`);
  network.ip('pod-c', `route add default via ${routedGateway.ipv6} dev eth0`);
}
