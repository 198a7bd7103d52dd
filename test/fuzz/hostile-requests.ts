/** Hostile requests by mutation of real ones, from a seed: a finding is repeated by its seed and number. */
import type { RawRequest } from '../../operator/core/request/canonical.ts';

/** mulberry32: 32 bits of state are enough to choose mutations. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const targets = [
  '/',
  '/computeMetadata/v1/instance/attributes/kube-env',
  '/computeMetadata/v1/instance/attributes/cluster-name',
  '/computeMetadata/v1/instance/attributes/?recursive=true',
  '/computeMetadata/v1/instance/service-accounts/default/token?scopes=https://www.googleapis.com/auth/a,b',
  '/computeMetadata/v1/instance/service-accounts/a@p.iam.gserviceaccount.com/identity?audience=https%3A%2F%2Fx&format=full',
  '/computeMetadata/v1/project/project-id?alt=json&wait_for_change=true&last_etag=0&timeout_sec=1',
  '/computeMetadata/v1beta1/instance/id',
  '/0.1/meta-data/attributes/kube-env',
];

/** What precedents of bypasses were made of. */
const fragments = [
  ...[
    '/',
    '//',
    '.',
    '..',
    '/../',
    '/./',
    '\\',
    '%2e',
    '%2E%2e',
    '%2f',
    '%5c',
    '%252e',
    '%25',
    '%',
    '%00',
    '%40',
    '%c0%ae',
  ],
  ...[
    '?',
    '#',
    '&',
    '=',
    ';',
    ';x=y',
    ':',
    '@',
    '*',
    '+',
    ' ',
    '\t',
    '\r\n',
    '\0',
    '\u0080',
    '\u00ff',
    '~',
    'http://a/',
  ],
  ...['v1', 'V1', 'v1beta1', '0.1', 'kube-env', 'KUBE-ENV', 'token', 'default', 'recursive=true', '%72ecursive=true'],
  ...[
    'instance',
    'attributes',
    'service-accounts',
    'project',
    'computeMetadata',
    'cluster-name',
    '/..;/',
    '..%2f',
    '%u002e',
  ],
];

export function hostileRequest(random: () => number): RawRequest {
  const pick = <T>(items: readonly T[], otherwise: T): T => items[Math.floor(random() * items.length)] ?? otherwise;
  let target = pick(targets, '/');
  for (let mutation = Math.floor(random() * 4); mutation > 0; mutation -= 1) {
    const at = Math.floor(random() * (target.length + 1));
    const drop = random() < 0.4 ? Math.floor(random() * 12) : 0;
    target = target.slice(0, at) + (random() < 0.9 ? pick(fragments, '') : '') + target.slice(at + drop);
  }
  const host = random() < 0.95 ? 'metadata.google.internal' : pick(fragments, '');
  const extra = random() < 0.05 ? ['X-Extra', pick(fragments, '')] : [];
  return {
    method: 'GET',
    target,
    httpVersion: '1.1',
    rawHeaders: ['Host', host, 'Metadata-Flavor', 'Google', ...extra],
  };
}
