import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseNodeAddresses } from '../../../operator/intercept/node-addresses.ts';

describe('addresses of the node', () => {
  it('are one per family, in the form in which nft lists them', () => {
    assert.deepEqual(parseNodeAddresses('10.0.0.7'), { ipv4: '10.0.0.7' });
    assert.deepEqual(parseNodeAddresses('FD00:0:0::0007'), { ipv6: 'fd00::7' });
    assert.deepEqual(parseNodeAddresses('10.0.0.7, fd00::7'), { ipv4: '10.0.0.7', ipv6: 'fd00::7' });
    assert.deepEqual(parseNodeAddresses('fd00::7,10.0.0.7,10.0.0.8'), { ipv4: '10.0.0.7', ipv6: 'fd00::7' });
  });

  for (const text of [
    '',
    'node-1',
    '127.0.0.1',
    '0.0.0.0',
    '::1',
    '::',
    'fe80::1%eth0',
    'fe80::1',
    '10.0.0.7,',
    '::ffff:10.0.0.7',
  ]) {
    it(`are refused as ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseNodeAddresses(text), { code: 'invalid-configuration' });
    });
  }
});
