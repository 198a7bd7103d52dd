import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Profile } from '../../../../operator/api/v1/index.ts';
import { conceals } from '../../../../operator/core/policy/match.ts';
import { isStricter, profiles, profileVerdict } from '../../../../operator/core/policy/profiles.ts';
import { path, pattern } from './subjects.ts';

/** Every path that a row of the table stands for, with what the three profiles say: r(eveal), d(irectory), c(onceal). */
const rows: readonly (readonly [path: string, privileged: string, baseline: string, restricted: string])[] = [
  ['', 'r', 'r', 'd'],
  ['instance', 'r', 'r', 'd'],
  ['instance/attributes', 'r', 'd', 'd'],
  ['instance/attributes/cluster-name', 'r', 'r', 'r'],
  ['instance/attributes/cluster-location', 'r', 'r', 'r'],
  ['instance/attributes/cluster-uid', 'r', 'r', 'r'],
  ['instance/attributes/created-by', 'r', 'r', 'c'],
  ['instance/attributes/instance-template', 'r', 'r', 'c'],
  ['instance/attributes/disable-legacy-endpoints', 'r', 'r', 'c'],
  ['instance/attributes/enable-oslogin', 'r', 'r', 'c'],
  ['instance/attributes/serial-port-logging-enable', 'r', 'r', 'c'],
  ['instance/attributes/kube-env', 'r', 'c', 'c'],
  ['instance/attributes/KUBE-ENV', 'r', 'c', 'c'],
  ['instance/attributes/Cluster-Name', 'r', 'c', 'c'],
  ['instance/attributes/cluster-name/x', 'r', 'c', 'c'],
  ['instance/attributes/user-data', 'r', 'c', 'c'],
  ['instance/attributes/startup-script', 'r', 'c', 'c'],
  ['instance/attributes/ssh-keys', 'r', 'c', 'c'],
  ['instance/attributes/whatever', 'r', 'c', 'c'],
  ['instance/service-accounts/default/token', 'r', 'c', 'c'],
  ['instance/service-accounts/default/identity', 'r', 'c', 'c'],
  ['instance/service-accounts/default/email', 'r', 'r', 'c'],
  ['instance/gce-workload-certificates', 'r', 'c', 'c'],
  ['instance/gce-workload-certificates/workload-identities', 'r', 'c', 'c'],
  ['instance/credentials/mds-client-certificate', 'r', 'c', 'c'],
  ['instance/guest-attributes', 'r', 'c', 'c'],
  ['instance/guest-attributes/hostkeys/ssh-rsa', 'r', 'c', 'c'],
  ['instance/partner-attributes/x', 'r', 'c', 'c'],
  ['instance/id', 'r', 'r', 'r'],
  ['instance/name', 'r', 'r', 'r'],
  ['instance/hostname', 'r', 'r', 'r'],
  ['instance/zone', 'r', 'r', 'r'],
  ['instance/machine-type', 'r', 'r', 'c'],
  ['instance/disks', 'r', 'r', 'c'],
  ['instance/network-interfaces/0/ip', 'r', 'r', 'c'],
  ['project', 'r', 'r', 'd'],
  ['project/project-id', 'r', 'r', 'r'],
  ['project/numeric-project-id', 'r', 'r', 'r'],
  ['project/attributes', 'r', 'd', 'c'],
  ['project/attributes/enable-oslogin', 'r', 'r', 'c'],
  ['project/attributes/google-compute-default-region', 'r', 'r', 'c'],
  ['project/attributes/google-compute-default-zone', 'r', 'r', 'c'],
  ['project/attributes/ssh-keys', 'r', 'c', 'c'],
  ['universe', 'r', 'r', 'd'],
  ['universe/universe-domain', 'r', 'r', 'r'],
  ['oslogin/users', 'r', 'c', 'c'],
];

function letter(profile: Profile, text: string): string {
  const verdict = profileVerdict(profile, { segments: path(text), accounts: [path(text)[2] ?? ''] });
  if (verdict.kind === 'conceal') return 'c';
  return verdict.extent === 'directory' ? 'd' : 'r';
}

describe('profiles, row by row', () => {
  for (const [text, ...expected] of rows) {
    it(`/${text}`, () => {
      const actual = (['Privileged', 'Baseline', 'Restricted'] as const).map((profile) => letter(profile, text));
      assert.deepEqual(actual, expected);
    });
  }

  it('every row of every table stands in this test', () => {
    const tested = rows.map(([text]) => ({ segments: path(text), accounts: 'any' as const }));
    for (const table of Object.values(profiles)) {
      for (const row of table.rows)
        assert.ok(
          tested.some((asked) => conceals(pattern(row.pattern), asked)),
          row.pattern,
        );
    }
  });

  it('every row says why', () => {
    for (const table of Object.values(profiles)) for (const { why } of table.rows) assert.match(why, /^[A-Z].*\.$/);
  });

  it('a stricter profile never reveals more', () => {
    const rank = { c: 0, d: 1, r: 2 } as Readonly<Record<string, number>>;
    for (const [text, privileged, baseline, restricted] of rows) {
      const [first = 0, second = 0, third = 0] = [privileged, baseline, restricted].map((word) => rank[word] ?? -1);
      assert.ok(first >= second && second >= third, text);
    }
  });

  it('only Privileged lets legacy endpoints answer', () => {
    const answers = Object.entries(profiles).filter(([, table]) => table.legacyEndpoints === 'Allow');
    assert.deepEqual(
      answers.map(([name]) => name),
      ['Privileged'],
    );
  });

  it('are ordered', () => {
    assert.ok(isStricter('Restricted', 'Baseline') && isStricter('Baseline', 'Privileged'));
    assert.ok(!isStricter('Baseline', 'Baseline') && !isStricter('Privileged', 'Restricted'));
  });

  it('name the row that decided', () => {
    const verdict = profileVerdict('Baseline', { segments: path('instance/attributes/kube-env'), accounts: [] });
    assert.deepEqual(verdict, { kind: 'conceal', row: 'instance/attributes/**' });
  });
});
