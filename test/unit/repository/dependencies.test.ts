import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

const lockfile = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly resolved?: string }>>;
};

function installed(name: string): readonly string[] {
  return Object.keys(lockfile.packages).filter((path) => path.endsWith(`node_modules/${name}`));
}

describe('the dependency tree', () => {
  it('has one client-node, of major version 2', () => {
    assert.deepEqual(installed('@kubernetes/client-node'), ['node_modules/@kubernetes/client-node']);
    assert.match(lockfile.packages['node_modules/@kubernetes/client-node']?.version ?? '', /^2\./);
  });

  it('is free of the deprecated request', () => {
    assert.deepEqual(installed('request'), []);
  });

  it('names no download host', () => {
    const named = Object.values(lockfile.packages).filter(({ resolved }) => resolved !== undefined);
    assert.deepEqual(named, []);
  });
});
