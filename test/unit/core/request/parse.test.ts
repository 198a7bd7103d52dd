import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRequest } from '../../../../operator/core/request/parse.ts';
import { accepted, get, getWith, goodHeaders, v1, verdict } from './raw.ts';

describe('targets that real clients send', () => {
  const rows: readonly (readonly [target: string, version: string, path: string, slash: boolean])[] = [
    ['/', 'root', '', true],
    ['/computeMetadata', 'versions', '', false],
    ['/computeMetadata/', 'versions', '', true],
    ['/computeMetadata/v1', 'v1', '', false],
    ['/computeMetadata/v1/', 'v1', '', true],
    ['/computeMetadata/v1/instance', 'v1', 'instance', false],
    ['/computeMetadata/v1/instance/', 'v1', 'instance', true],
    ['/computeMetadata/v1/project/project-id', 'v1', 'project/project-id', false],
    ['/computeMetadata/v1/project/project-id?', 'v1', 'project/project-id', false],
    ['/computeMetadata/v1/universe/universe-domain', 'v1', 'universe/universe-domain', false],
    ['/computeMetadata/v1/instance/network-interfaces/0/ip', 'v1', 'instance/network-interfaces/0/ip', false],
    ['/computeMetadata/v1/instance/attributes/My_Key.1', 'v1', 'instance/attributes/My_Key.1', false],
    [
      '/computeMetadata/v1/instance/service-accounts/a@p.iam.gserviceaccount.com/token',
      'v1',
      'instance/service-accounts/a@p.iam.gserviceaccount.com/token',
      false,
    ],
    [
      '/computeMetadata/v1/instance/service-accounts/a%40p.iam/token',
      'v1',
      'instance/service-accounts/a@p.iam/token',
      false,
    ],
  ];
  for (const [target, version, path, slash] of rows) {
    it(`${target} is ${version}:${path}`, () => {
      const request = accepted(get(target));
      assert.equal(request.version, version);
      assert.equal(request.path.join('/'), path);
      assert.equal(request.trailingSlash, slash);
      assert.equal(request.spelling, target.split('?')[0]);
    });
  }

  it('HEAD is told from GET', () => {
    assert.equal(accepted({ ...get('/'), method: 'HEAD' }).method, 'HEAD');
    assert.equal(accepted(get('/')).method, 'GET');
  });
});

describe('T01, T02: targets that no client sends are refused, not normalised', () => {
  const kubeEnv = 'instance/attributes/kube-env';
  const rows: readonly (readonly [target: string, expected: string])[] = [
    ['', 'target-form 400'],
    ['*', 'target-form 400'],
    ['computeMetadata/v1/', 'target-form 400'],
    [`http://metadata.google.internal${v1}`, 'target-form 400'],
    ['http:/computeMetadata/v1/', 'target-form 400'],
    ['metadata.google.internal:80', 'target-form 400'],
    [`/${v1}`, 'malformed-path 400'],
    [`//evil.example${v1}`, 'malformed-path 400'],
    [`${v1}/instance`, 'malformed-path 400'],
    [`${v1}instance//attributes/`, 'malformed-path 400'],
    [`${v1}instance/attributes/kube-env//`, 'malformed-path 400'],
    [`${v1}project/../${kubeEnv}`, 'malformed-path 400'],
    [`${v1}project/./project-id`, 'malformed-path 400'],
    [`${v1}instance/attributes/cluster-name/..`, 'malformed-path 400'],
    [`${v1}...`, 'malformed-path 400'],
    [`${v1}instance/attributes/kube-env.`, 'malformed-path 400'],
    [`${v1}instance/attributes./kube-env`, 'malformed-path 400'],
    [`${v1}instance/attributes/x;y`, 'malformed-path 400'],
    [`${v1}instance/%61ttributes/kube-env`, 'malformed-path 400'],
    [`${v1}instance/attributes%2fkube-env`, 'malformed-path 400'],
    [`${v1}instance/attributes%2Fkube-env`, 'malformed-path 400'],
    [`${v1}project/%2e%2e/${kubeEnv}`, 'malformed-path 400'],
    [`${v1}project/%252e%252e/${kubeEnv}`, 'malformed-path 400'],
    [`${v1}instance/service-accounts/a%2540b/token`, 'malformed-path 400'],
    [`${v1}instance/attributes/%6bube-env`, 'malformed-path 400'],
    [`${v1}instance/attributes/kube-env%00`, 'malformed-path 400'],
    [`${v1}instance/attributes/kube-env%`, 'malformed-path 400'],
    [`${v1}instance\\attributes\\kube-env`, 'malformed-path 400'],
    [`/\\computeMetadata/v1/`, 'malformed-path 400'],
    [`${v1}${kubeEnv}#x`, 'malformed-path 400'],
    [`${v1}project/project-id?x=#`, 'malformed-path 400'],
    [`${v1}project/project-id?x=\\`, 'malformed-path 400'],
    [`${v1}instance/attributes/\u0000`, 'malformed-path 400'],
    [`${v1}instance/attributes/a b`, 'malformed-path 400'],
    [`${v1}instance/attributes/\u00e9`, 'malformed-path 400'],
    [`${v1}instance/attributes/\uff4b`, 'malformed-path 400'],
    [`${v1}instance/attributes/kube-env\r\nX: y`, 'malformed-path 400'],
    [`${v1}${'a/'.repeat(20)}`, 'malformed-path 400'],
    [`${v1}${'a'.repeat(2000)}`, 'target-too-long 414'],
    [`${v1}project/project-id?x=${'a'.repeat(9000)}`, 'target-too-long 414'],
  ];
  for (const [target, expected] of rows) {
    it(`${JSON.stringify(target.slice(0, 80))} → ${expected}`, () => {
      assert.equal(verdict(parseRequest(get(target))), expected);
    });
  }
});

describe('T08: unknown versions and foreign spellings of v1 do not exist', () => {
  const targets = [
    '/computeMetadata/v2/instance/',
    '/computeMetadata/v1alpha1/',
    '/computemetadata/v1/instance/',
    '/computeMetadata/V1/instance/',
    '/computeMetadata/v1/Instance/attributes/kube-env',
    '/computeMetadata/v1/instance/Service-Accounts/default/token',
    '/computeMetadata/v1beta2/',
    '/latest/meta-data/',
    '/0.2/meta-data/',
    '/favicon.ico',
  ];
  for (const target of targets) {
    it(target, () => assert.equal(verdict(parseRequest(get(target))), 'not-found 404'));
  }

  it('without the header even that is not said', () => {
    assert.equal(verdict(parseRequest(get('/x', ['Host', 'metadata']))), 'missing-metadata-flavor 403');
  });
});

describe('T02: the request line', () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT', 'get', 'Get', '', 'HEAD ']) {
    it(`method ${JSON.stringify(method)} is refused`, () => {
      const parsed = parseRequest({ ...get('/'), method });
      assert.equal(verdict(parsed), 'method-not-allowed 405');
      assert.ok(parsed.kind === 'rejected');
      assert.equal(parsed.rejection.denial.allow, 'GET, HEAD');
    });
  }

  for (const httpVersion of ['1.0', '0.9', '2.0', '1.2', '']) {
    it(`HTTP/${httpVersion} is refused`, () => {
      assert.equal(verdict(parseRequest({ ...get('/'), httpVersion })), 'http-version 400');
    });
  }

  it('an upgrade to h2c is refused', () => {
    const headers = ['Connection', 'Upgrade, HTTP2-Settings', 'Upgrade', 'h2c', 'HTTP2-Settings', 'AAMAAABk'];
    assert.equal(verdict(parseRequest(getWith('/', ...headers))), 'upgrade-refused 400');
    assert.equal(verdict(parseRequest(getWith('/', 'http2-settings', 'AAMAAABk'))), 'upgrade-refused 400');
  });
});

describe('T04: framing', () => {
  const rows: readonly (readonly [headers: readonly string[], expected: string])[] = [
    [['Content-Length', '0'], 'accepted'],
    [['Content-Length', '1'], 'framing 400'],
    [['Content-Length', '00'], 'framing 400'],
    [['Content-Length', '+0'], 'framing 400'],
    [['Content-Length', ''], 'framing 400'],
    [['Content-Length', '0, 0'], 'framing 400'],
    [['Content-Length', '0', 'content-length', '0'], 'framing 400'],
    [['Transfer-Encoding', 'chunked'], 'framing 400'],
    [['transfer-encoding', 'identity'], 'framing 400'],
    [['Transfer-Encoding', ''], 'framing 400'],
    [['Content-Length', '0', 'Transfer-Encoding', 'chunked'], 'framing 400'],
    [['Trailer', 'Metadata-Flavor'], 'framing 400'],
    [['X-Folded', 'a\r\n b'], 'malformed-header 400'],
    [['X-Nul', 'a\u0000b'], 'malformed-header 400'],
    [['Bad Name', 'a'], 'malformed-header 400'],
    [['', 'a'], 'malformed-header 400'],
    [Array.from({ length: 200 }, (_, index) => `x${index}`), 'headers-too-large 431'],
    [['X-Long', 'a'.repeat(20_000)], 'headers-too-large 431'],
  ];
  for (const [headers, expected] of rows) {
    it(`${JSON.stringify(headers).slice(0, 60)} → ${expected}`, () => {
      assert.equal(verdict(parseRequest(getWith('/', ...headers))), expected);
    });
  }

  it('a request whose end is in doubt ends its connection', () => {
    const parsed = parseRequest(getWith('/', 'Transfer-Encoding', 'chunked'));
    assert.ok(parsed.kind === 'rejected');
    assert.equal(parsed.rejection.denial.close, true);
  });
});

describe('T05: Metadata-Flavor', () => {
  const host = ['Host', 'metadata'] as const;
  const rows: readonly (readonly [headers: readonly string[], expected: string])[] = [
    [['Metadata-Flavor', 'Google'], 'accepted'],
    [['metadata-flavor', 'Google'], 'accepted'],
    [[], 'missing-metadata-flavor 403'],
    [['Metadata-Flavor', ''], 'missing-metadata-flavor 403'],
    [['Metadata-Flavor', 'google'], 'missing-metadata-flavor 403'],
    [['Metadata-Flavor', 'GOOGLE'], 'missing-metadata-flavor 403'],
    [['Metadata-Flavor', 'Google, Google'], 'missing-metadata-flavor 403'],
    [['Metadata-Flavor', 'Google', 'Metadata-Flavor', 'Google'], 'missing-metadata-flavor 403'],
    [['Metadata-Flavor', 'Google', 'metadata-flavor', 'x'], 'missing-metadata-flavor 403'],
    [['Metadata_Flavor', 'Google'], 'missing-metadata-flavor 403'],
    [['X-Google-Metadata-Request', 'True'], 'missing-metadata-flavor 403'],
  ];
  for (const [headers, expected] of rows) {
    it(`${JSON.stringify(headers)} → ${expected}`, () => {
      assert.equal(verdict(parseRequest(get(`${v1}project/project-id`, [...host, ...headers]))), expected);
    });
  }

  it('is not needed for /, where clients look for Google, whatever its value', () => {
    assert.equal(verdict(parseRequest(get('/', host))), 'accepted');
    assert.equal(verdict(parseRequest(get('/', [...host, 'Metadata-Flavor', 'Not Google']))), 'accepted');
  });

  it('is needed for /computeMetadata/', () => {
    assert.equal(verdict(parseRequest(get('/computeMetadata/', host))), 'missing-metadata-flavor 403');
  });

  it('its refusal has the captured text and no Metadata-Flavor', () => {
    const parsed = parseRequest(get(v1, host));
    assert.ok(parsed.kind === 'rejected');
    assert.equal(parsed.rejection.denial.body, 'Missing required header "Metadata-Flavor": "Google"\n');
    assert.equal(parsed.rejection.denial.metadataFlavor, false);
  });
});

describe('T06: forwarded requests', () => {
  const names = ['X-Forwarded-For', 'x-forwarded-for', 'X_Forwarded_For', 'Forwarded', 'X-Forwarded-Host', 'Via'];
  for (const name of [...names, 'X-Real-IP', 'X-Original-URL', 'X-Rewrite-URL', 'True-Client-IP']) {
    it(`${name} is refused, on / too and when empty`, () => {
      assert.equal(
        verdict(parseRequest(getWith(`${v1}project/project-id`, name, '10.0.0.1'))),
        'forwarded-request 403',
      );
      assert.equal(verdict(parseRequest(getWith('/', name, ''))), 'forwarded-request 403');
    });
  }

  it('what a service mesh adds to every request is accepted', () => {
    const mesh = ['X-Forwarded-Proto', 'http', 'X-Request-Id', '1', 'X-Envoy-Decorator-Operation', 'x'];
    assert.equal(verdict(parseRequest(getWith('/', ...mesh))), 'accepted');
  });
});

it('headers of common clients are no obstacle', () => {
  const headers = [
    'User-Agent',
    'gcloud/528',
    'Accept-Encoding',
    'gzip',
    'Connection',
    'close',
    'x-goog-api-client',
    'gl-python/3',
  ];
  assert.equal(verdict(parseRequest(get('/', [...goodHeaders, ...headers]))), 'accepted');
});
