/**
 * How one policy's `directEgress: Deny` is put into effect without ever widening anybody's egress.
 *
 * NetworkPolicies are additive: "everything except metadata" opens a namespace that another policy closed. So a
 * cluster-level deny is preferred; failing that, a NetworkPolicy may select only pods no other egress policy selects.
 */
import type { NetworkPolicy } from '../cluster/objects.ts';
import { matchesSelector } from '../selector/selector.ts';
import type { Labels } from '../selector/selector.ts';
import type { BlockedAddresses } from './addresses.ts';
import { isolatesEgress, reachedAddress } from './reach.ts';
import { selectionOf, selectorOf, subtract } from './selection.ts';
import type { Requirement, Selection } from './selection.ts';

/** Kinds whose deny cannot be undone by a NetworkPolicy. */
export type DenyKind = 'ClusterNetworkPolicy' | 'CiliumClusterwideNetworkPolicy' | 'GlobalNetworkPolicy';

/** What the cluster offers; read by discovery. */
export interface EgressCapabilities {
  readonly denyKind?: DenyKind;
  /** Cilium evaluates policy before the kernel redirect and matches identities, not these addresses. */
  readonly cilium: boolean;
  /** Some MetadataProxy redirects in the kernel (interception NFTables). */
  readonly redirectsInKernel: boolean;
}

/** Pods of one namespace that a policy selects; both selections are conjunctions. */
export interface EgressScope {
  readonly namespaces: Selection;
  readonly pods: Selection;
}

export interface EgressPod {
  readonly name: string;
  readonly labels: Labels;
  readonly hostNetwork: boolean;
}

export interface EgressNamespace {
  readonly name: string;
  readonly labels: Labels;
  /** Live pods. */
  readonly pods: readonly EgressPod[];
  /** Everybody's NetworkPolicies but ours. */
  readonly networkPolicies: readonly NetworkPolicy[];
}

export interface EgressQuestion {
  readonly scope: EgressScope;
  /** Scopes of ClusterMetadataPolicies with `directEgress: Allow`. */
  readonly exceptions: readonly EgressScope[];
  /** Namespaces the policy may select; never our own. */
  readonly namespaces: readonly EgressNamespace[];
  readonly capabilities: EgressCapabilities;
  readonly blocked: BlockedAddresses;
}

export type EgressReason =
  | 'Blocked'
  | 'CoveredByOtherPolicies'
  | 'NothingSelected'
  | 'WouldWidenEgress'
  | 'ReachableThroughOtherPolicy'
  | 'NotSupportedOnCilium';

export interface EgressPlan {
  readonly reason: EgressReason;
  readonly message: string;
  /** One NetworkPolicy each. */
  readonly networkPolicies: readonly { readonly namespace: string; readonly pods: Selection }[];
  /** One cluster-level deny each. */
  readonly denials: readonly { readonly kind: DenyKind; readonly scope: EgressScope }[];
}

interface NamespaceFinding {
  readonly namespace: string;
  readonly selections: readonly Selection[] | undefined;
  /** Sentences, one per rule of another policy that reaches a metadata address. */
  readonly reachable: readonly string[];
}

/** The plan for one policy with `directEgress: Deny`. */
export function planEgress(question: EgressQuestion): EgressPlan {
  const { denyKind, cilium, redirectsInKernel } = question.capabilities;
  if (cilium && redirectsInKernel) return nothing('NotSupportedOnCilium', ciliumBeforeRedirect);
  if (denyKind !== undefined) return planDenials(question, denyKind);
  if (cilium) return nothing('NotSupportedOnCilium', ciliumWithoutDeny);
  return planNetworkPolicies(question);
}

const ciliumBeforeRedirect =
  'Cilium evaluates policy before the kernel redirects, so a block would cut the proxy off too; set directEgress: Unmanaged to accept that.';
const ciliumWithoutDeny =
  'Cilium does not apply except lists of a NetworkPolicy to these addresses; allow the kind CiliumClusterwideNetworkPolicy.';

function nothing(reason: EgressReason, message: string): EgressPlan {
  return { reason, message, networkPolicies: [], denials: [] };
}

function planDenials(question: EgressQuestion, kind: DenyKind): EgressPlan {
  const scopes = subtract(join(question.scope), question.exceptions.map(join));
  if (scopes === undefined) return nothing('WouldWidenEgress', tooManySelectors('the exceptions'));
  const denials = scopes.map((scope) => ({ kind, scope: split(scope) }));
  if (denials.length === 0) {
    return nothing(
      'NothingSelected',
      "Exceptions, or Metaveil's own namespace, cover every pod that the policy selects.",
    );
  }
  const message = `${kind} denies the metadata addresses.${hostNetworkNote(question)}`;
  return { reason: 'Blocked', message, networkPolicies: [], denials };
}

function planNetworkPolicies(question: EgressQuestion): EgressPlan {
  const findings = question.namespaces
    .filter(({ labels }) => matchesSelector(selectorOf(question.scope.namespaces), labels))
    .map((namespace) => examine(question, namespace));
  const networkPolicies = findings.flatMap(({ namespace, selections }) =>
    (selections ?? []).map((pods) => ({ namespace, pods })),
  );
  return { ...verdict(findings, question), networkPolicies, denials: [] };
}

function examine(question: EgressQuestion, namespace: EgressNamespace): NamespaceFinding {
  const isolating = namespace.networkPolicies.filter(isolatesEgress);
  const exceptions = question.exceptions.filter((each) =>
    matchesSelector(selectorOf(each.namespaces), namespace.labels),
  );
  const taken = [...exceptions.map(({ pods }) => pods), ...isolating.map((policy) => selectionOf(policy.podSelector))];
  const selected = namespace.pods.filter(
    (pod) =>
      !pod.hostNetwork &&
      matchesSelector(selectorOf(question.scope.pods), pod.labels) &&
      !exceptions.some(({ pods }) => matchesSelector(selectorOf(pods), pod.labels)),
  );
  const relevant = isolating.filter((policy) =>
    selected.some(({ labels }) => matchesSelector(policy.podSelector, labels)),
  );
  return {
    namespace: namespace.name,
    selections: subtract(question.scope.pods, taken),
    reachable: relevant.flatMap((policy) => reachSentence(policy, question.blocked)),
  };
}

function reachSentence(policy: NetworkPolicy, blocked: BlockedAddresses): string[] {
  const address = reachedAddress(policy, blocked);
  if (address === undefined) return [];
  return [`NetworkPolicy ${policy.namespace}/${policy.name} allows ${address}:80; add it to the rule's except list`];
}

/** The worst finding decides; all of its kind are named, up to five. */
function verdict(
  findings: readonly NamespaceFinding[],
  question: EgressQuestion,
): Pick<EgressPlan, 'reason' | 'message'> {
  const inexpressible = findings.filter(({ selections }) => selections === undefined).map(({ namespace }) => namespace);
  if (inexpressible.length > 0) {
    return {
      reason: 'WouldWidenEgress',
      message: tooManySelectors(`other egress policies of ${named(inexpressible)}`),
    };
  }
  const reachable = findings.flatMap((finding) => finding.reachable);
  if (reachable.length > 0) return { reason: 'ReachableThroughOtherPolicy', message: `${named(reachable)}.` };
  if (findings.length === 0) return { reason: 'NothingSelected', message: 'The policy selects no namespace.' };
  const note = hostNetworkNote(question);
  if (findings.every(({ selections }) => selections?.length === 0)) {
    return {
      reason: 'CoveredByOtherPolicies',
      message: `Other egress policies cover every pod; no rule of theirs reaches the metadata addresses.${note}`,
    };
  }
  return { reason: 'Blocked', message: `A NetworkPolicy excepts the metadata addresses.${note}` };
}

function tooManySelectors(what: string): string {
  return `Leaving out the pods of ${what} takes more selectors than can be written; simplify their podSelectors, or install a cluster-level deny kind. Nothing was written there.`;
}

function named(items: readonly string[]): string {
  const sorted = [...new Set(items)].sort();
  const rest = sorted.length - 5;
  return sorted.slice(0, 5).join('; ') + (rest > 0 ? `; and ${rest} more` : '');
}

/** NetworkPolicies do not apply to pods on the host's network: say how many stay uncovered. */
function hostNetworkNote({ namespaces, scope }: EgressQuestion): string {
  const uncovered = namespaces
    .filter(({ labels }) => matchesSelector(selectorOf(scope.namespaces), labels))
    .flatMap(({ pods }) => pods)
    .filter((pod) => pod.hostNetwork && matchesSelector(selectorOf(scope.pods), pod.labels));
  return uncovered.length === 0 ? '' : ` Not covered: ${uncovered.length} host-network pods.`;
}

/** Both selections as one conjunction: the prefix keeps labels of namespaces and pods apart. */
function join({ namespaces, pods }: EgressScope): Selection {
  const prefixed = (prefix: string) => (each: Requirement) => ({ ...each, key: prefix + each.key });
  return [...namespaces.map(prefixed('n:')), ...pods.map(prefixed('p:'))];
}

function split(selection: Selection): EgressScope {
  const part = (prefix: string) =>
    selection.filter(({ key }) => key.startsWith(prefix)).map((each) => ({ ...each, key: each.key.slice(2) }));
  return { namespaces: part('n:'), pods: part('p:') };
}
