import type { CanonicalRequest, ParsedRequest, RawRequest } from '../../../../operator/core/request/canonical.ts';
import { parseRequest } from '../../../../operator/core/request/parse.ts';

/** What a well-behaved client sends beside the target. */
export const goodHeaders = ['Host', 'metadata.google.internal', 'Metadata-Flavor', 'Google'] as const;

export const v1 = '/computeMetadata/v1/';

export function get(target: string, rawHeaders: readonly string[] = goodHeaders): RawRequest {
  return { method: 'GET', target, httpVersion: '1.1', rawHeaders };
}

/** GET of a target with headers added to the good ones. */
export function getWith(target: string, ...headers: readonly string[]): RawRequest {
  return get(target, [...goodHeaders, ...headers]);
}

/** The request, or an error that names the rejection. */
export function accepted(raw: RawRequest): CanonicalRequest {
  const parsed = parseRequest(raw);
  if (parsed.kind === 'request') return parsed.request;
  throw new Error(`rejected: ${parsed.rejection.denial.code}, ${parsed.rejection.detail}`);
}

/** `code status` of a rejection, or `accepted`. */
export function verdict(parsed: ParsedRequest): string {
  return parsed.kind === 'request' ? 'accepted' : `${parsed.rejection.denial.code} ${parsed.rejection.denial.status}`;
}
