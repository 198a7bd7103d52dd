import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { endpointNames, endpointOf, knownEndpoint } from '../../../../operator/core/request/endpoints.ts';

describe('the name under which an endpoint is counted', () => {
  const rows: readonly (readonly [path: string, name: string])[] = [
    ['', '/'],
    ['instance', 'instance'],
    ['instance/attributes/kube-env', 'instance/attributes/kube-env'],
    ['instance/attributes/whatever', 'instance/attributes/*'],
    ['instance/attributes/*', 'instance/attributes/*'],
    ['instance/attributes/a/b', 'other'],
    ['instance/service-accounts/default/token', 'instance/service-accounts/default/token'],
    ['instance/service-accounts/a@b.iam.gserviceaccount.com/token', 'instance/service-accounts/*/token'],
    ['instance/service-accounts/default/nothing', 'other'],
    [
      'instance/network-interfaces/0/access-configs/0/external-ip',
      'instance/network-interfaces/*/access-configs/*/external-ip',
    ],
    ['other', 'other'],
    ['nothing/of/google', 'other'],
  ];
  for (const [path, name] of rows) {
    it(`${path} → ${name}`, () => {
      assert.equal(endpointOf(path === '' ? [] : path.split('/')), name);
    });
  }

  it('is one of a closed list, whatever is asked (property)', () => {
    const names = new Set(endpointNames);
    const segment = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('instance', 'attributes', 'service-accounts', 'token', '*', '0', '__proto__', 'project'),
    );
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 8 }), (path) => {
        assert.ok(names.has(endpointOf(path)), path.join('/'));
        assert.ok(names.has(knownEndpoint(path.join('/'))));
      }),
    );
  });

  it('fits the wire, and needs no escaping anywhere', () => {
    assert.ok(endpointNames.length < 100, `${endpointNames.length} names`);
    assert.equal(new Set(endpointNames).size, endpointNames.length);
    for (const name of endpointNames) assert.match(name, /^[a-z0-9*/-]{1,64}$/u);
    assert.deepEqual(endpointNames.map(knownEndpoint), endpointNames);
  });
});
