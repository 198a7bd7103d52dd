/** Mounted files change under the proxy; what it tells the controller and keeps for itself survives trouble. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { MountedCredentials, SnapshotFile } from '../../../operator/adapters/http/mounted-files.ts';
import type { PodUid } from '../../../operator/core/brand.ts';
import { Reporter } from '../../../operator/nodeapi/client/reporter.ts';
import { LatestOnly } from '../../../operator/nodeapi/client/latest.ts';
import { decodeReportRequest } from '../../../operator/nodeapi/wire/calls.ts';
import { decodeJson } from '../../../operator/nodeapi/wire/decode.ts';
import { methods } from '../../../operator/nodeapi/wire/methods.ts';

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'metaveil-test-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

describe('mounted credentials', () => {
  it('are read anew when kubelet swaps them', async (t) => {
    const root = await folder(t);
    // As kubelet does it: a link to a folder that is replaced in one step.
    const mount = async (generation: string): Promise<void> => {
      await mkdir(join(root, generation));
      await writeFile(join(root, generation, 'token'), `token-${generation}\n`);
      await writeFile(join(root, generation, 'ca.crt'), `ca-${generation}`);
      await symlink(generation, join(root, 'data.new'));
      await rename(join(root, 'data.new'), join(root, 'data'));
    };
    await mount('1');
    const credentials = new MountedCredentials({
      token: join(root, 'data/token'),
      caBundle: join(root, 'data/ca.crt'),
    });
    assert.deepEqual([await credentials.token(), await credentials.caBundle()], ['token-1', 'ca-1']);
    await mount('2');
    assert.deepEqual([await credentials.token(), await credentials.caBundle()], ['token-2', 'ca-2']);
  });

  it('that are not there are a matter of configuration, and of the path', async (t) => {
    const path = join(await folder(t), 'token');
    const credentials = new MountedCredentials({ token: path, caBundle: path });
    await assert.rejects(credentials.token(), { code: 'invalid-configuration', message: `${path} cannot be read` });
  });

  it('that are absurdly large are not read', async (t) => {
    const path = join(await folder(t), 'token');
    await writeFile(path, 'x'.repeat(1024 * 1024 + 1));
    const credentials = new MountedCredentials({ token: path, caBundle: path });
    await assert.rejects(credentials.token(), { code: 'invalid-configuration' });
  });
});

describe('the last-good file', () => {
  it('is absent at first, then what was written last, and nothing is left beside it', async (t) => {
    const root = await folder(t);
    const file = new SnapshotFile(join(root, 'snapshot.json'), 'boot');
    assert.equal(await file.read(), undefined);
    await file.write('one');
    await file.write('two');
    assert.equal(await file.read(), 'two');
    assert.deepEqual(await readdir(root), ['snapshot.json']);
  });

  it('of before a reboot is as good as none: pods have other addresses since then', async (t) => {
    const path = join(await folder(t), 'snapshot.json');
    await new SnapshotFile(path, 'boot-1').write('one');
    assert.equal(await new SnapshotFile(path, 'boot-1').read(), 'one');
    assert.equal(await new SnapshotFile(path, 'boot-2').read(), undefined);
    await new SnapshotFile(path, 'boot-2').write('two');
    assert.equal(await new SnapshotFile(path, 'boot-2').read(), 'two');
  });
});

describe('reports', () => {
  it('no increment is lost or counted twice, whatever gets lost on the way (property)', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('add' as const),
        count: fc.integer({ min: 1, max: 9 }),
        policy: fc.constantFrom('', 'p', 'q'),
      }),
      fc.record({ kind: fc.constantFrom('delivered' as const, 'request-lost' as const, 'reply-lost' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const reporter = new Reporter(1000);
        const counted = new Map<number, number>();
        let added = 0;
        const sendOnce = (how: 'delivered' | 'request-lost' | 'reply-lost'): boolean => {
          const batch = reporter.next();
          if (batch === undefined) return false;
          // The controller counts a sequence once, and none below one it has seen.
          const sum = batch.counts.reduce((total, { count }) => total + count, 0);
          if (how !== 'request-lost' && batch.sequence > Math.max(0, ...counted.keys()))
            counted.set(batch.sequence, sum);
          if (how === 'delivered') reporter.confirmed();
          return true;
        };
        for (const each of steps) {
          if (each.kind !== 'add') sendOnce(each.kind);
          else {
            added += each.count;
            reporter.add({ counts: [{ policy: each.policy, decision: 'concealed', count: each.count }] });
          }
        }
        while (sendOnce('delivered'));
        assert.equal(
          [...counted.values()].reduce((sum, value) => sum + value, 0),
          added,
        );
      }),
    );
  });
});

describe('the reporter', () => {
  it('keeps a bounded number of counters while the controller is away, in reports that the controller reads', () => {
    const reporter = new Reporter(0);
    const uid = (at: number) => `00000000-0000-4000-8000-${String(at).padStart(12, '0')}`;
    for (let at = 0; at < 10_000; at += 1) {
      const legacy = { workload: uid(at) as PodUid, endpoint: 'e'.repeat(40), access: 'allowed', count: 1 } as const;
      const count = { policy: uid(at), decision: 'would-conceal', count: 1_000_000_000 } as const;
      reporter.add({ counts: [count], legacy: [legacy] });
    }
    let counts = 0;
    let legacy = 0;
    for (let batch = reporter.next(); batch !== undefined; batch = reporter.next()) {
      const body = JSON.stringify(batch);
      assert.ok(Buffer.byteLength(body) <= methods.report.maxBodyBytes, `${Buffer.byteLength(body)} bytes`);
      assert.equal(decodeJson(decodeReportRequest, body).kind, 'valid');
      counts += batch.counts.length;
      legacy += batch.legacy?.length ?? 0;
      reporter.confirmed();
    }
    assert.deepEqual([counts, legacy], [4096, 4096]);
  });
});

describe('latest only', () => {
  it('runs one at a time, and once more for all that asked meanwhile', async () => {
    let running = 0;
    let runs = 0;
    const gates: PromiseWithResolvers<undefined>[] = [];
    const latest = new LatestOnly(async () => {
      assert.equal((running += 1), 1);
      runs += 1;
      const gate = Promise.withResolvers<undefined>();
      gates.push(gate);
      await gate.promise;
      running -= 1;
    });
    for (let ask = 0; ask < 5; ask += 1) latest.request();
    assert.equal(runs, 1);
    gates[0]?.resolve(undefined);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(runs, 2);
    let isIdle = false;
    void latest.idle().then(() => (isIdle = true));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isIdle, false);
    gates[1]?.resolve(undefined);
    await latest.idle();
    assert.equal(runs, 2);
  });
});
