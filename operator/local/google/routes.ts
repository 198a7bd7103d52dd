import type { EmulatedService } from './faults.ts';

export type Route =
  | { readonly kind: 'token'; readonly service: EmulatedService }
  | {
      readonly kind: 'iam';
      readonly service: EmulatedService;
      readonly method: 'generateAccessToken' | 'generateIdToken';
      readonly project: string;
      readonly account: string;
    }
  | { readonly kind: 'certificates' };

const iamPath =
  /^\/v1\/projects\/(?<project>[^/]+)\/serviceAccounts\/(?<account>[^/:]+):(?<method>generateAccessToken|generateIdToken)$/;

/** `path` without the query. Undefined for a path or method that no emulated API has. */
export function routeOf(method: string, path: string): Route | undefined {
  if (method === 'GET') return path === '/oauth2/v3/certs' ? { kind: 'certificates' } : undefined;
  if (method !== 'POST') return undefined;
  return path === '/v1/token' ? { kind: 'token', service: 'sts' } : iamRouteOf(path);
}

function iamRouteOf(path: string): Route | undefined {
  const { project = '', account: segment = '', method } = iamPath.exec(path)?.groups ?? {};
  const account = decoded(segment);
  if (account === undefined || account === '') return undefined;
  return {
    kind: 'iam',
    service: 'iamcredentials',
    method: method === 'generateIdToken' ? method : 'generateAccessToken',
    project,
    account,
  };
}

/** Undefined for what is not percent-encoded UTF-8. */
export function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
