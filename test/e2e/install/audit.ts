/** The API server's audit log: which rights the controller really uses, and which it lacks. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PolicyRule } from 'kubernetes-types/rbac/v1.js';
import type { ClusterAccess } from '../../cluster/access.ts';
import { ClusterRoles, Roles } from '../../cluster/kinds.ts';

const controller = 'system:serviceaccount:metaveil-system:metaveil-controller';

/** For --audit-policy-file: what the controller asked, nothing else, and no body. */
export const auditPolicy = JSON.stringify({
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived', 'ResponseStarted'],
  rules: [{ level: 'Metadata', users: [controller] }, { level: 'None' }],
});

export function auditFlags(folder: string): readonly string[] {
  return [`--audit-policy-file=${join(folder, 'policy.json')}`, `--audit-log-path=${join(folder, 'audit.log')}`];
}

export interface AuditedRequest {
  readonly verb: string;
  /** `group/resource/subresource`, or the path of a request that is about no resource. */
  readonly what: string;
  /** '' for a request in all namespaces or about a cluster-scoped object. */
  readonly namespace: string;
  readonly name: string;
  readonly code: number;
  /** The server's sentence; '' for a success. */
  readonly message: string;
}

interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number; readonly message?: string };
}

export async function readAudit(folder: string): Promise<readonly AuditedRequest[]> {
  const text = await readFile(join(folder, 'audit.log'), 'utf8');
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => requestOf(JSON.parse(line) as AuditEvent));
}

function requestOf({ verb, requestURI, objectRef, responseStatus }: AuditEvent): AuditedRequest {
  const { apiGroup = '', resource, subresource, namespace = '', name = '' } = objectRef ?? {};
  const what =
    resource === undefined
      ? requestURI
      : [apiGroup, resource, subresource].filter((part) => part !== undefined).join('/');
  return { verb, what, namespace, name, code: responseStatus?.code ?? 0, message: responseStatus?.message ?? '' };
}

/** `verb group/resource` of all that was asked; a server-side apply that made an object needed the right to create it too. */
export function usesOf(requests: readonly AuditedRequest[]): ReadonlySet<string> {
  return new Set(
    requests.flatMap(({ verb, what, code }) => [`${verb} ${what}`, ...(code === 201 ? [`create ${what}`] : [])]),
  );
}

/** The same form, for every rule of the controller's own roles; sorted. */
export async function rightsOf({ api }: ClusterAccess): Promise<readonly string[]> {
  const name = 'metaveil-controller';
  const roles = [
    await api.get(ClusterRoles, { name }),
    await api.get(Roles, { namespace: 'metaveil-system', name }),
  ] as const;
  const rights = roles.flatMap(({ rules = [] }) => rules.flatMap(rightsOfRule));
  return [...new Set(rights)].sort();
}

function rightsOfRule({ apiGroups = [], resources = [], verbs }: PolicyRule): readonly string[] {
  return verbs.flatMap((verb) =>
    apiGroups.flatMap((group) => resources.map((resource) => `${verb} ${group}/${resource}`)),
  );
}

const notInstalled = 'the kind is not installed here';
const tiers = 'Calico asks for rights on the tier, too, of whoever works with policies in it';

/** Rights that applying and deleting samples/ does not exercise, with the reason why the controller has them. */
export const unusedHere: Readonly<Record<string, string>> = {
  'create authentication.k8s.io/tokenreviews': 'no proxy calls the node API here',
  'patch /pods/status': 'no proxy serves here, whose readiness gate could be set',
  'update /secrets': "the node API's CA is renewed after months",
  'patch events.k8s.io/events': 'an event that repeats becomes a series',
  ...each(['list', 'create', 'patch', 'delete'], 'policy.networking.k8s.io/clusternetworkpolicies', notInstalled),
  ...each(['list', 'create', 'patch', 'delete'], 'cilium.io/ciliumclusterwidenetworkpolicies', notInstalled),
  ...each(['list', 'create', 'patch', 'delete'], 'projectcalico.org/globalnetworkpolicies', notInstalled),
  ...each(['list', 'create', 'patch', 'delete'], 'projectcalico.org/tier.globalnetworkpolicies', tiers),
  ...each(['get', 'create', 'patch'], 'projectcalico.org/tiers', tiers),
};

function each(verbs: readonly string[], what: string, reason: string): Record<string, string> {
  return Object.fromEntries(verbs.map((verb) => [`${verb} ${what}`, reason]));
}
