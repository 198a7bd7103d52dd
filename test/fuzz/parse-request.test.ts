/**
 * Time-boxed fuzz of parser and evaluator together. FUZZ_SECONDS sets the time (5), FUZZ_SEED the seed (the clock's).
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { CanonicalRequest } from '../../operator/core/request/canonical.ts';
import { evaluatorOf } from '../../operator/core/policy/evaluate.ts';
import { parseRequest } from '../../operator/core/request/parse.ts';
import { cmdp, mdp, subject } from '../unit/core/policy/subjects.ts';
import { hostileRequest, randomFrom } from './hostile-requests.ts';
import { sloppyReading, strictReading } from './upstreams.ts';

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 5);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 32);

/** Legacy allowed and all but kube-env and identity open: the widest a concealing policy can be. */
const open = cmdp('open', { profile: 'Privileged', legacyEndpoints: 'Allow' });
const hide = mdp('hide', { conceal: ['instance/attributes/kube-env', 'instance/service-accounts/*/identity'] });
const { evaluate } = evaluatorOf(subject([open, hide]));

/** At the roots of the trees that Google has ever served: `/0.1/other/instance/attributes/kube-env` is nobody's secret. */
const concealed =
  /^(?:(?:\/computemetadata\/v1(?:beta1)?)?\/instance|\/0\.1(?:\/meta-data)?(?:\/instance)?)\/(?:attributes\/kube-env|service-accounts\/[^/]+\/identity)(?:\/|$)/;

function checkRouting(request: CanonicalRequest, target: string): void {
  const { path, query } = strictReading(target);
  if (request.version === 'v1') {
    const own = ['/computeMetadata/v1', ...request.path].join('/');
    assert.equal(path, request.trailingSlash ? `${own}/` : own);
  }
  assert.equal(query.getAll('recursive').length <= 1, true);
  assert.equal(query.get('recursive')?.toLowerCase(), request.query.recursive?.toString());
  assert.equal(query.get('audience') ?? undefined, request.query.audience);
  assert.equal(query.get('alt') ?? undefined, request.query.alt);
}

function checkConcealment(request: CanonicalRequest, target: string): void {
  const decision = evaluate(request.path, request.version === 'legacy' ? 'legacy' : 'v1');
  if (request.version === 'root' || request.version === 'versions' || decision.kind === 'conceal') return;
  assert.doesNotMatch(sloppyReading(target), concealed);
  assert.doesNotMatch(`/${decision.permit.path.join('/').toLowerCase()}`, concealed);
}

it(`for ${seconds} s no reading of a revealed request finds a concealed path (seed ${seed})`, (t) => {
  const random = randomFrom(seed);
  const end = performance.now() + seconds * 1000;
  const count = { requests: 0, rejected: 0, concealed: 0 };
  while (performance.now() < end) {
    for (let batch = 0; batch < 1000; batch += 1) {
      const raw = hostileRequest(random);
      const parsed = parseRequest(raw);
      count.requests += 1;
      if (parsed.kind === 'rejected') {
        count.rejected += 1;
        continue;
      }
      const { request } = parsed;
      checkRouting(request, raw.target);
      checkConcealment(request, raw.target);
      if (evaluate(request.path, 'v1').kind === 'conceal') count.concealed += 1;
    }
  }
  // A fuzz that only ever met one outcome would prove nothing.
  assert.ok(count.rejected > 0 && count.concealed > 0 && count.rejected < count.requests, JSON.stringify(count));
  t.diagnostic(JSON.stringify(count));
});

it('the sloppy server finds what it should, so that its silence means something', () => {
  for (const target of [
    '/computeMetadata/v1/instance/attributes/kube-env',
    '/computeMetadata/v1/project/../instance//attributes/./KUBE-env;x?y',
    '/computeMetadata/v1/instance%252fattributes\\kube-env/',
    '/computeMetadata/v1/instance/service-accounts/a@b/identity?audience=x',
  ]) {
    assert.match(sloppyReading(target), concealed, target);
  }
  assert.doesNotMatch(sloppyReading('/computeMetadata/v1/instance/attributes/cluster-name'), concealed);
});
