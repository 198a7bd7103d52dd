/**
 * Text formats of fields: `pattern` is what the API server enforces, `meaning` completes the sentence "it must be …"
 * for people. Patterns mean the same to Go's RE2 and to JavaScript, and none backtracks more than linearly, because
 * offline they meet files nobody has looked at.
 */
export const formats = {
  dnsSubdomain: {
    pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
    meaning: "lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part",
  },
  dnsLabel: {
    pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
    meaning: "lower-case letters, digits and '-', with a letter or digit at both ends",
  },
  labelKey: {
    pattern:
      '^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$',
    meaning: 'a label key: at most 63 letters, digits and any of -_. between them, after an optional DNS prefix and /',
  },
  labelValue: {
    pattern: '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$',
    meaning: 'a label value: letters, digits and any of -_. between them',
  },
  metadataPattern: {
    // A segment is any dots, then one character that is not a dot: `.` and `..` cannot be written.
    pattern: '^[.]*[A-Za-z0-9_@*-][A-Za-z0-9._@*-]*(/[.]*[A-Za-z0-9_@*-][A-Za-z0-9._@*-]*){0,15}$',
    meaning:
      'segments joined by single slashes, none of them . or .., without a leading or trailing slash (at most 16, of letters, digits and any of ._@*-)',
  },
  googleServiceAccount: {
    pattern: '^[a-z0-9][a-z0-9.-]{0,127}@([a-z0-9-]+[.])+gserviceaccount[.]com$',
    meaning: 'the e-mail address of a Google service account, which ends in gserviceaccount.com',
  },
  scope: {
    pattern: '^(https://[A-Za-z0-9._~/:-]+|openid|email|profile)$',
    meaning: 'a full OAuth scope: an https URL, openid, email or profile',
  },
  visibleAscii: { pattern: '^[!-~]+$', meaning: 'visible ASCII characters without spaces' },
  poolProvider: {
    pattern: '^projects/[0-9]{1,20}/locations/global/workloadIdentityPools/[a-z0-9-]{4,32}/providers/[a-z0-9-]{4,32}$',
    meaning: 'the resource name of a workload identity pool provider, with the project number instead of the id',
  },
  gkeWorkloadPool: { pattern: '^[a-z0-9.:-]+[.]svc[.]id[.]goog$', meaning: 'a project id followed by .svc.id.goog' },
  gkeCluster: {
    pattern: '^projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/clusters/[a-z0-9-]+$',
    meaning: 'the resource name of a GKE cluster',
  },
  universeDomain: { pattern: '^[a-z0-9-]+([.][a-z0-9-]+)+$', meaning: 'a DNS domain in lower case' },
  endpoint: {
    pattern: '^https?://[A-Za-z0-9.:_\\[\\]-]+(/[A-Za-z0-9._~/-]*)?$',
    meaning: 'an https URL without query, fragment or user',
  },
  base64: {
    // Not `format: byte`: with it the API server accepts a list in place of the text.
    pattern: '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$',
    meaning: 'base64 without line breaks',
  },
  projectId: { pattern: '^[a-z0-9.:-]+$', meaning: 'a Google project id' },
  number: { pattern: '^[0-9]+$', meaning: 'digits only, written as a quoted string' },
  location: { pattern: '^[a-z0-9-]+$', meaning: "lower-case letters, digits and '-'" },
  clusterName: { pattern: '^[A-Za-z0-9._-]+$', meaning: 'letters, digits and any of ._-' },
  clusterUid: { pattern: '^[A-Za-z0-9-]+$', meaning: "letters, digits and '-'" },
  image: {
    pattern: '^[A-Za-z0-9][A-Za-z0-9._:/@-]*$',
    meaning: 'an image reference with optional registry, tag and digest',
  },
  quantity: {
    pattern: '^[0-9]+([.][0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$',
    meaning: 'a quantity: a number with an optional suffix m, k, Ki, M, Mi, G or Gi, written as a string',
  },
  countOrPercentage: {
    pattern: '^([1-9][0-9]{0,4}|[1-9][0-9]?%|100%)$',
    meaning: 'a count of at least 1 or a percentage from 1% to 100%, written as a string',
  },
} as const satisfies Record<string, { readonly pattern: string; readonly meaning: string }>;

const meanings = new Map<string, string>(Object.values(formats).map(({ pattern, meaning }) => [pattern, meaning]));

/** The meaning of a pattern of ours, undefined for a foreign one. */
export function meaningOf(pattern: string): string | undefined {
  return meanings.get(pattern);
}

/** The text a description gives as `Example:`, undefined if it gives none. */
export function exampleIn(description: string): string | undefined {
  return /Example: `([^`]+)`/.exec(description)?.[1];
}
