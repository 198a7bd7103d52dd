import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { contextNamespace, loadKubeConfig } from '../../../../operator/adapters/kube/kubeconfig.ts';
import { MetaveilError } from '../../../../operator/core/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'metaveil-kubeconfig-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function file(text: string): string {
  const path = join(folder, 'config');
  writeFileSync(path, text);
  return path;
}

function kubeconfig(cluster: object, extra: object = {}): string {
  return JSON.stringify({
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { token: 'canary-token' } }],
    contexts: [
      { name: 'x', context: { cluster: 'c', user: 'u' } },
      { name: 'y', context: { cluster: 'missing', user: 'u' } },
    ],
    'current-context': 'x',
    ...extra,
  });
}

function refusal(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    assert.ok(error instanceof MetaveilError);
    assert.equal(error.code, 'invalid-configuration');
    assert.doesNotMatch(error.message, /canary/);
    return error.message;
  }
  return assert.fail('it was taken');
}

describe('A kubeconfig', () => {
  it('is read with the context that was asked for', () => {
    const path = file(kubeconfig({ server: 'https://example.invalid:6443/prefix' }, { 'current-context': 'y' }));
    const config = loadKubeConfig({ kind: 'file', path, context: 'x' }, {});
    assert.equal(config.getCurrentCluster()?.server, 'https://example.invalid:6443/prefix');
  });

  for (const [what, text, sentence] of [
    [
      'is not YAML',
      'users:\n - name: u\n  token: "canary-token',
      /not a usable kubeconfig: not valid YAML \(line \d+\)$/,
    ],
    ['has something else for its users', '{"users": [7]}', /not a usable kubeconfig: not a kubeconfig$/],
    ['has no current context', kubeconfig({ server: 'https://x' }, { 'current-context': '' }), /set current-context$/],
    [
      'names a cluster that is missing',
      kubeconfig({ server: 'https://x' }, { 'current-context': 'y' }),
      /a cluster and/,
    ],
    ['sends credentials in the clear', kubeconfig({ server: 'http://x' }), /use https:\/\/$/],
    ['has an address of another kind', kubeconfig({ server: 'file:///x' }), /not an https:\/\/ address$/],
    ['wants a SOCKS proxy', kubeconfig({ server: 'https://x', 'proxy-url': 'socks5://x:1' }), /SOCKS/],
  ] as const) {
    it(`that ${what} is refused, without a word of its contents`, () => {
      assert.match(
        refusal(() => loadKubeConfig({ kind: 'file', path: file(text) }, {})),
        sentence,
      );
    });
  }

  it('that does not exist is named', () => {
    const path = join(folder, 'missing');
    assert.equal(
      refusal(() => loadKubeConfig({ kind: 'file', path }, {})),
      `${path} is not a usable kubeconfig: ENOENT`,
    );
  });

  it('has no context of that name', () => {
    const path = file(kubeconfig({ server: 'https://x' }));
    const message = refusal(() => loadKubeConfig({ kind: 'file', path, context: 'z' }, {}));
    assert.match(message, /has no context "z"$/);
  });

  it('outside a pod is asked for: there is no default that would reach something else', () => {
    assert.match(
      refusal(() => loadKubeConfig({ kind: 'in-cluster' }, {})),
      /give --kubeconfig FILE$/,
    );
  });
});

describe('Without a file that is named, kubectl\u2019s places are looked at', () => {
  const named = (name: string, server: string, extra: object = {}) => {
    const path = join(folder, name);
    const text = kubeconfig({ server }, { 'current-context': '', ...extra });
    writeFileSync(path, text);
    return path;
  };

  it('several files are merged, and the first one counts', () => {
    const first = named('first', 'https://first', { contexts: [] });
    const second = named('second', 'https://second', { 'current-context': 'x' });
    const KUBECONFIG = ['', join(folder, 'absent'), first, second].join(':');
    const config = loadKubeConfig({ kind: 'default' }, { KUBECONFIG, HOME: '/nonexistent' });
    assert.equal(config.getCurrentContext(), 'x');
    assert.equal(config.getCurrentCluster()?.server, 'https://first');
    assert.equal(contextNamespace(config), 'default');
  });

  it('the context that is asked for says the namespace', () => {
    const contexts = [{ name: 'z', context: { cluster: 'c', user: 'u', namespace: 'shop' } }];
    const KUBECONFIG = named('contexts', 'https://x', { contexts });
    const config = loadKubeConfig({ kind: 'default', context: 'z' }, { KUBECONFIG });
    assert.equal(contextNamespace(config), 'shop');
    const other = refusal(() => loadKubeConfig({ kind: 'default', context: 'other' }, { KUBECONFIG }));
    assert.equal(other, `${KUBECONFIG} has no context "other"`);
  });

  it('nothing there is said, and never becomes localhost', () => {
    for (const env of [{}, { HOME: folder }, { KUBECONFIG: join(folder, 'absent') }]) {
      assert.match(
        refusal(() => loadKubeConfig({ kind: 'default' }, env)),
        /^there is no kubeconfig at \S+; give --kubeconfig FILE$/,
      );
    }
  });
});
