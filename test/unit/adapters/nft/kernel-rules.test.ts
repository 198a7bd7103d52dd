import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { NftRules } from '../../../../operator/adapters/nft/kernel-rules.ts';
import { redirectedAddresses } from '../../../../operator/core/names.ts';

/** Scripts in place of nft and conntrack; the real programs are run in test/netns. */
describe('nft and conntrack', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metaveil-nft-'));
  });

  after(async () => rm(folder, { recursive: true }));

  async function program(name: string, script: string): Promise<void> {
    await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, name), 0o755);
  }

  const rules = (deadlineMs = 10_000): NftRules => new NftRules({ path: folder, deadlineMs });

  it('are reported by name when they are missing', async () => {
    const nowhere = new NftRules({ path: join(folder, 'none'), deadlineMs: 10_000 });
    const missing = (name: string): object => ({
      kind: 'failed',
      code: 'tool-missing',
      reason: `the program ${name} is not installed`,
    });
    assert.deepEqual(await nowhere.list(), missing('nft'));
    assert.deepEqual(await nowhere.load('{}'), missing('nft'));
    assert.deepEqual(await nowhere.cutFlows(redirectedAddresses), missing('conntrack'));
  });

  it('get their arguments without a shell, and nothing of our environment', async () => {
    process.env['METAVEIL_TEST_SECRET'] = 'do-not-pass';
    await program('nft', 'for each in "$@"; do echo "$each"; done; echo "$METAVEIL_TEST_SECRET$LC_ALL"');
    assert.deepEqual(await rules().list(), { kind: 'listed', text: '-j\nlist\ntable\ninet\nmetaveil\nC\n' });
    await program('nft', 'test "$2" = \'{"x":"$(exit 3)"}\'');
    assert.deepEqual(await rules().load('{"x":"$(exit 3)"}'), { kind: 'loaded' });
  });

  it('tell a missing table from an error', async () => {
    await program('nft', 'echo "Error: No such file or directory" >&2; exit 1');
    assert.deepEqual(await rules().list(), { kind: 'missing' });
    await program('nft', 'echo "Error: Operation not permitted" >&2; exit 1');
    const refused = { kind: 'failed', code: 'kernel-refused', reason: 'Error: Operation not permitted' };
    assert.deepEqual(await rules().list(), refused);
    assert.deepEqual(await rules().load('{}'), refused);
  });

  it('are ended when they take too long or print too much', async () => {
    await program('nft', 'exec /bin/sleep 60');
    assert.equal((await rules(50).list()).kind, 'failed');
    await program('nft', 'exec /usr/bin/yes');
    const endless = await rules().list();
    assert.deepEqual([endless.kind, endless.kind === 'failed' && endless.code], ['failed', 'listing-unreadable']);
  });

  it('keep what they say of an error within bounds', async () => {
    await program('nft', '/usr/bin/yes x | /usr/bin/head -c 1000000 >&2; exit 1');
    const refused = await rules().load('{}');
    assert.ok(refused.kind === 'failed' && refused.reason.length <= 300);
  });

  it('cut only connections that are not redirected, in both families', async () => {
    const log = join(folder, 'calls');
    const answer = 'echo "conntrack v1.4.7 (conntrack-tools): 2 flow entries have been deleted." >&2';
    await program('conntrack', `echo "$*" >> ${log}; ${answer}`);
    assert.deepEqual(await rules().cutFlows(redirectedAddresses), { kind: 'cut', count: 6 });
    await program('nft', `exec /bin/cat ${log}`);
    const calls = await rules().list();
    assert.deepEqual(calls.kind === 'listed' && calls.text.trim().split('\n'), [
      '-D -f ipv4 -p tcp --orig-dst 169.254.169.254 --reply-src 169.254.169.254 --orig-port-dst 80',
      '-D -f ipv6 -p tcp --orig-dst fd20:ce::254 --reply-src fd20:ce::254 --orig-port-dst 80',
      '-D -f ipv6 -p tcp --orig-dst fd00:ec2::254 --reply-src fd00:ec2::254 --orig-port-dst 80',
    ]);
  });

  it('count nothing to cut as success, and any other end as failure', async () => {
    await program(
      'conntrack',
      'echo "conntrack v1.4.7 (conntrack-tools): 0 flow entries have been deleted." >&2; exit 1',
    );
    assert.deepEqual(await rules().cutFlows(redirectedAddresses), { kind: 'cut', count: 0 });
    await program('conntrack', 'echo "Operation failed" >&2; exit 1');
    assert.equal((await rules().cutFlows(redirectedAddresses)).kind, 'failed');
  });
});
