/** The objects that put an EgressPlan into effect, per kind of network policy. */
import type { Hash } from '../../core/brand.ts';
import type { BlockedAddresses, Opening } from '../../core/egress/addresses.ts';
import type { DenyKind, EgressPlan, EgressScope } from '../../core/egress/plan.ts';
import { selectorOf } from '../../core/egress/selection.ts';
import type { Selection } from '../../core/egress/selection.ts';
import { fieldManager, ownedLabels } from '../../core/names.ts';
import type { AnyPolicy } from '../../core/snapshot/policies.ts';
import type { AppliedObject } from '../ports.ts';
import { labelValue } from '../labels.ts';

/** API versions of the kinds that can carry a block. */
export const egressKinds = {
  NetworkPolicy: 'networking.k8s.io/v1',
  ClusterNetworkPolicy: 'policy.networking.k8s.io/v1alpha2',
  CiliumClusterwideNetworkPolicy: 'cilium.io/v2',
  GlobalNetworkPolicy: 'projectcalico.org/v3',
} as const;

/** Calico applies the rest of a pod's policies only if our rules stand in a tier that passes on. */
const calicoTier = 'metaveil';

export interface EgressObjectContext {
  readonly policy: AnyPolicy;
  readonly blocked: BlockedAddresses;
  readonly hash: Hash;
}

/** Labels of everything made for one policy. */
export function egressLabels(owner: EgressOwner, hash: Hash): Readonly<Record<string, string>> {
  return {
    ...kindLabels(owner.kind),
    ...(owner.namespace === '' ? {} : { [ownedLabels.ownerNamespace]: owner.namespace }),
    [ownedLabels.ownerName]: labelValue(owner.name, hash),
  };
}

/** Labels of everything made for policies of one kind. */
export function kindLabels(kind: AnyPolicy['kind']): Readonly<Record<string, string>> {
  return { [ownedLabels.managedBy]: fieldManager, [ownedLabels.ownerKind]: kind };
}

/** Whose object it is; namespace is '' for a ClusterMetadataPolicy. */
export interface EgressOwner {
  readonly kind: AnyPolicy['kind'];
  readonly namespace: string;
  readonly name: string;
}

export function ownerOf({ kind, metadata }: AnyPolicy): EgressOwner {
  return { kind, namespace: metadata.namespace ?? '', name: metadata.name };
}

/** Everything the plan asks for, named after its policy and content so that a change never edits in place what still holds. */
export function egressObjects(plan: EgressPlan, context: EgressObjectContext): readonly AppliedObject[] {
  return [
    ...plan.networkPolicies.map(({ namespace, pods }) => networkPolicy(namespace, pods, context)),
    ...plan.denials.map(({ kind, scope }) => denial(kind, scope, context)),
  ];
}

function networkPolicy(namespace: string, pods: Selection, context: EgressObjectContext): AppliedObject {
  const { blocked, hash, policy } = context;
  return {
    apiVersion: egressKinds.NetworkPolicy,
    kind: 'NetworkPolicy',
    metadata: { name: objectName(context, pods), namespace, labels: egressLabels(ownerOf(policy), hash) },
    spec: {
      podSelector: selectorOf(pods),
      policyTypes: ['Egress'],
      egress: [
        {
          to: [
            { ipBlock: except('0.0.0.0/0', blocked.ipv4, 32) },
            { ipBlock: except('::/0', blocked.ipv6, 128) },
            // Some enforcers do not match pods by address.
            { namespaceSelector: {} },
          ],
        },
        ...blocked.openings.map(({ address, ports }) => ({ to: [{ ipBlock: { cidr: `${address}/32` } }], ports })),
      ],
    },
  };
}

function except(cidr: string, addresses: readonly string[], bits: 32 | 128): Readonly<Record<string, unknown>> {
  return addresses.length === 0 ? { cidr } : { cidr, except: addresses.map((address) => `${address}/${bits}`) };
}

function denial(kind: DenyKind, scope: EgressScope, context: EgressObjectContext): AppliedObject {
  const { hash, policy } = context;
  const suffix = kind === 'GlobalNetworkPolicy' ? `${calicoTier}.` : '';
  return {
    apiVersion: egressKinds[kind],
    kind,
    metadata: { name: suffix + objectName(context, scope), labels: egressLabels(ownerOf(policy), hash) },
    spec: denialSpecs[kind](scope, context.blocked),
  };
}

type DenialSpec = (scope: EgressScope, blocked: BlockedAddresses) => Readonly<Record<string, unknown>>;

const denialSpecs: Readonly<Record<DenyKind, DenialSpec>> = {
  ClusterNetworkPolicy: clusterNetworkPolicySpec,
  CiliumClusterwideNetworkPolicy: ciliumSpec,
  GlobalNetworkPolicy: calicoSpec,
};

/** What to deny, in the form of kinds whose deny has no exceptions: they name the ports around the openings. */
interface ClosedNetworks {
  /** Denied whatever the protocol and port. */
  readonly whole: readonly string[];
  readonly partly: readonly { readonly network: string; readonly ports: readonly PortRange[] }[];
}

function closedNetworks({ ipv4, ipv6, openings }: BlockedAddresses): ClosedNetworks {
  const partly = openings.map((opening) => ({ network: `${opening.address}/32`, ports: closedPorts(opening) }));
  const all = [...ipv4.map((address) => `${address}/32`), ...ipv6.map((address) => `${address}/128`)];
  return { whole: all.filter((each) => !partly.some(({ network }) => network === each)), partly };
}

/** No `Pass` for the openings: it would also pass by other policies of the tier that deny them. */
function clusterNetworkPolicySpec(scope: EgressScope, blocked: BlockedAddresses): Readonly<Record<string, unknown>> {
  const { whole, partly } = closedNetworks(blocked);
  const deny = (name: string, networks: readonly string[]) => ({ name, action: 'Deny', to: [{ networks }] });
  return {
    tier: 'Admin',
    priority: 100,
    subject: { pods: { namespaceSelector: selectorOf(scope.namespaces), podSelector: selectorOf(scope.pods) } },
    egress: [
      ...(whole.length === 0 ? [] : [deny('metadata', whole)]),
      ...partly.map(({ network, ports }, index) => ({
        ...deny(`metadata-around-services-${index}`, [network]),
        protocols: ports.map(protocolMatch),
      })),
    ],
  };
}

function protocolMatch({ protocol, port, endPort }: PortRange): Readonly<Record<string, unknown>> {
  const destinationPort = port === endPort ? { number: port } : { range: { start: port, end: endPort } };
  return { [protocol.toLowerCase()]: { destinationPort } };
}

/** A deny rule would switch the endpoint to default deny; without that this policy only ever denies. */
function ciliumSpec(scope: EgressScope, blocked: BlockedAddresses): Readonly<Record<string, unknown>> {
  const { whole, partly } = closedNetworks(blocked);
  const namespaces = scope.namespaces.map((each) => ({
    ...each,
    key: `k8s:io.cilium.k8s.namespace.labels.${each.key}`,
  }));
  return {
    endpointSelector: selectorOf([...namespaces, ...scope.pods.map((each) => ({ ...each, key: `k8s:${each.key}` }))]),
    enableDefaultDeny: { egress: false, ingress: false },
    egressDeny: [
      ...(whole.length === 0 ? [] : [{ toCIDR: whole }]),
      ...partly.map(({ network, ports }) => ({
        toCIDR: [network],
        toPorts: [{ ports: ports.map((each) => ({ ...each, port: `${each.port}` })) }],
      })),
    ],
  };
}

interface PortRange {
  readonly protocol: 'TCP' | 'UDP';
  readonly port: number;
  readonly endPort: number;
}

function closedPorts(opening: Opening): readonly PortRange[] {
  return (['TCP', 'UDP'] as const).flatMap((protocol) => {
    const open = [...new Set(openPorts(opening, protocol))].sort((a, b) => a - b);
    const starts = [1, ...open.map((port) => port + 1)];
    const ends = [...open.map((port) => port - 1), 65535];
    return starts
      .map((port, index) => ({ protocol, port, endPort: ends[index] ?? 65535 }))
      .filter(({ port, endPort }) => port <= endPort);
  });
}

function openPorts({ ports }: Opening, protocol: 'TCP' | 'UDP'): readonly number[] {
  return ports.filter((each) => each.protocol === protocol).map(({ port }) => port);
}

function calicoSpec(scope: EgressScope, blocked: BlockedAddresses): Readonly<Record<string, unknown>> {
  const openings = blocked.openings.flatMap(({ address, ports }) =>
    ports.map(({ protocol, port }) => ({
      action: 'Pass',
      protocol,
      destination: { nets: [`${address}/32`], ports: [port] },
    })),
  );
  const deny = (nets: readonly string[]) => (nets.length === 0 ? [] : [{ action: 'Deny', destination: { nets } }]);
  return {
    tier: calicoTier,
    order: 100,
    namespaceSelector: calicoSelector(scope.namespaces),
    selector: calicoSelector(scope.pods),
    types: ['Egress'],
    egress: [
      ...openings,
      ...deny(blocked.ipv4.map((address) => `${address}/32`)),
      ...deny(blocked.ipv6.map((address) => `${address}/128`)),
    ],
  };
}

/** Calico's own selector language; label keys and values are validated by Kubernetes and cannot contain quotes. */
function calicoSelector(selection: Selection): string {
  if (selection.length === 0) return 'all()';
  return selection
    .map(({ key, operator, values }) => {
      const list = `{ ${values.map((value) => `'${value}'`).join(', ')} }`;
      switch (operator) {
        case 'In':
          return `${key} in ${list}`;
        case 'NotIn':
          return `${key} not in ${list}`;
        case 'Exists':
          return `has(${key})`;
        case 'DoesNotExist':
          return `!has(${key})`;
      }
    })
    .join(' && ');
}

/** Evaluated before the default tier; whatever our rules do not deny goes on to the others. Shared by all policies. */
export const calicoTierObject: AppliedObject = {
  apiVersion: egressKinds.GlobalNetworkPolicy,
  kind: 'Tier',
  metadata: { name: calicoTier, labels: { [ownedLabels.managedBy]: fieldManager } },
  spec: { order: 10, defaultAction: 'Pass' },
};

/** `metaveil-POLICY-HASH`: the hash tells apart policies of one name in several namespaces, and several selectors. */
function objectName({ policy, hash }: EgressObjectContext, selection: Selection | EgressScope): string {
  const identity = JSON.stringify([policy.kind, policy.metadata.namespace ?? '', policy.metadata.name, selection]);
  const readable = policy.metadata.name.slice(0, 40).replace(/[^a-z0-9]+$/, '');
  return `metaveil-${readable.replaceAll('.', '-')}-${hash(identity).slice(0, 10)}`;
}
