import { MetaveilError } from '../../core/errors.ts';

/** A REST resource of the API server. */
export interface ResourceType {
  /** `` for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

/** Of `v1`, or `apps/v1`. */
export function groupVersionOf(apiVersion: string): Pick<ResourceType, 'group' | 'version'> {
  const slash = apiVersion.indexOf('/');
  return slash < 0
    ? { group: '', version: apiVersion }
    : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

/** `/api/v1` or `/apis/GROUP/VERSION`: also where discovery is served. */
export function groupVersionPath(type: Pick<ResourceType, 'group' | 'version'>): string {
  const root = type.group === '' ? '/api' : `/apis/${segment(type.group)}`;
  return `${root}/${segment(type.version)}`;
}

/** All objects of a type, or with `namespace` those of one namespace. */
export function collectionPath(type: ResourceType, namespace = ''): string {
  const scope = type.namespaced && namespace !== '' ? `/namespaces/${segment(namespace)}` : '';
  return `${groupVersionPath(type)}${scope}/${segment(type.plural)}`;
}

export interface ObjectName {
  readonly namespace?: string;
  readonly name: string;
}

/** One object, or a subresource of it. */
export function objectPath(type: ResourceType, ref: ObjectName, subresource?: string): string {
  if (type.namespaced && !ref.namespace) {
    throw new MetaveilError('invalid-input', `${type.kind} ${ref.name} needs a namespace`);
  }
  const path = `${collectionPath(type, ref.namespace)}/${segment(ref.name)}`;
  return subresource === undefined ? path : `${path}/${segment(subresource)}`;
}

/** Encoding leaves dots alone, so `..` would climb out of the path. */
function segment(text: string): string {
  if (text === '' || text === '.' || text === '..') {
    throw new MetaveilError('invalid-input', `${JSON.stringify(text)} is no name of a Kubernetes object`);
  }
  return encodeURIComponent(text);
}
