import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { denials, deny, type DenialCode } from '../../../../operator/core/request/denials.ts';

const codes = Object.keys(denials) as DenialCode[];

describe('denials', () => {
  for (const code of codes) {
    it(`${code} is complete`, () => {
      const denial = deny(code);
      assert.match(code, /^[a-z]+(-[a-z]+)*$/);
      assert.ok(denial.body.length > 0, 'Node clients show the body, so it is never empty');
      assert.ok(denial.status >= 400 && denial.status < 600);
      assert.equal(denial.retryAfterSeconds, denial.status === 503 || denial.status === 429 ? 1 : undefined);
      assert.equal(denial.allow, denial.status === 405 ? 'GET, HEAD' : undefined);
    });
  }

  it('have the documented sentences and the statuses clients can live with', () => {
    const rows: readonly (readonly [DenialCode, number, string])[] = [
      ['concealed', 403, 'This metadata endpoint is concealed.'],
      ['no-service-account', 404, 'This metadata endpoint is concealed.'],
      ['not-found', 404, 'Not Found\n'],
      ['audience-required', 400, 'non-empty audience parameter required\n'],
    ];
    for (const [code, status, body] of rows) {
      assert.deepEqual([deny(code).status, deny(code).body], [status, body]);
    }
    assert.equal(deny('unknown-workload').status, 503);
    assert.equal(deny('no-identity-tokens').status, 404, 'gcloud gives up on any other status');
    assert.equal(deny('audience-not-allowed').status, 404, 'gcloud gives up on any other status');
  });

  it('carry Metadata-Flavor but for the one that Google sends without', () => {
    const without = codes.filter((code) => !deny(code).metadataFlavor);
    assert.deepEqual(without, ['missing-metadata-flavor']);
  });

  it('take a more exact body and keep everything else', () => {
    assert.deepEqual(deny('concealed', 'x'), { ...deny('concealed'), body: 'x' });
  });
});
