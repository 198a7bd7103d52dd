import { apiVersion as ownApiVersion, group } from '../../api/v1/index.ts';
import { quote } from '../../local/problem.ts';
import type { Finding } from './finding.ts';
import { kindsByName } from './schema.ts';
import { nearest } from './suggest.ts';
import { isMapping, type Mapping } from './values.ts';

/** Kubernetes' own kinds whose scope we know; of others a namespace may be there or not. */
const namespaced: ReadonlySet<string> = new Set([
  'ConfigMap',
  'CronJob',
  'DaemonSet',
  'Deployment',
  'Job',
  'NetworkPolicy',
  'Pod',
  'Role',
  'RoleBinding',
  'Secret',
  'Service',
  'ServiceAccount',
  'StatefulSet',
]);
const clusterScoped: ReadonlySet<string> = new Set(['ClusterRole', 'ClusterRoleBinding', 'Namespace', 'Node']);

/** Whether a foreign object needs a namespace (true), must not have one (false), or we cannot say. */
export function scopeOf(value: Mapping): boolean | undefined {
  const kind = String(value['kind']);
  if (namespaced.has(kind)) return true;
  return clusterScoped.has(kind) ? false : undefined;
}

/** What is wrong with the document's own type: apiVersion and kind. */
export function typeFindings(value: unknown): readonly Finding[] {
  if (!isMapping(value)) {
    const fix = 'write apiVersion, kind, metadata and spec';
    return [{ path: [], target: 'value', what: 'the document is not a mapping', fix }];
  }
  const missing = ['apiVersion', 'kind'].filter((name) => typeof value[name] !== 'string' || value[name] === '');
  if (missing.length > 0) return missing.map((name) => missingField(name, value));
  return ownTypeFindings(String(value['apiVersion']), String(value['kind']));
}

function missingField(name: string, value: Mapping): Finding {
  const state = name in value ? 'must be a string' : 'is missing';
  const example = name === 'kind' ? 'kind: WorkloadIdentityBinding' : `apiVersion: ${ownApiVersion}`;
  return { path: [name], target: 'value', what: `${name} ${state}`, fix: `add for example ${example}` };
}

function ownTypeFindings(apiVersion: string, kind: string): readonly Finding[] {
  const ours = apiVersion === group || apiVersion.startsWith(`${group}/`);
  if (kind === 'List' || (!ours && kind.endsWith('List'))) {
    const fix = 'write each item as a document of its own, separated by ---';
    return [{ path: ['kind'], target: 'value', what: `lists (${quote(kind)}) are not read from files`, fix }];
  }
  if (ours && !kindsByName.has(kind)) return [unknownKind(kind)];
  if (kindsByName.has(kind) && apiVersion !== ownApiVersion) {
    const what = `${kind} has no apiVersion ${quote(apiVersion)}`;
    return [{ path: ['apiVersion'], target: 'value', what, fix: `use ${ownApiVersion}` }];
  }
  return [];
}

function unknownKind(kind: string): Finding {
  const known = [...kindsByName.keys()];
  const meant = nearest(kind, known);
  const fix = meant === undefined ? `use one of ${known.join(', ')}` : `did you mean ${meant}?`;
  return { path: ['kind'], target: 'value', what: `${group} has no kind ${quote(kind)}`, fix };
}
