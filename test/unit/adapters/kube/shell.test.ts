import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { OperatorShell, operatorShell, type ShellOptions } from '../../../../operator/adapters/kube/shell.ts';
import type { Reflection } from '../../../../operator/adapters/kube/reflector.ts';
import { MetaveilError } from '../../../../operator/core/errors.ts';
import { ScriptedApi } from './scripted-api.ts';

const logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const observer = { listed: () => undefined, interrupted: () => undefined, unreadable: () => undefined };

function reflectionOf(plural: string, seen: string[]): Reflection<string> {
  return {
    type: { group: plural === 'pods' ? '' : 'metaveil.dev', version: 'v1', kind: plural, plural, namespaced: true },
    project: (raw) => JSON.stringify(raw),
    sink: {
      replace: () => seen.push(plural),
      upsert: () => assert.fail('nothing changes here'),
      remove: () => assert.fail('nothing changes here'),
    },
  };
}

const kubeconfigPath = new URL('kubeconfig.json', import.meta.url).pathname;

function optionsFor(api: ScriptedApi, seen: string[] = []): ShellOptions<string> {
  const reflections = ['pods', 'metadatapolicies'].map((plural) => reflectionOf(plural, seen));
  return { client: api.client(), kubeconfigPath, reflections, timers: api.timers, random: () => 0, logger, observer };
}

/** The process must live on whatever happens. */
function forbidExit(t: TestContext): void {
  t.mock.method(process, 'exit', () => assert.fail('process.exit was called'));
}

describe("The operator's shell", () => {
  it('starts a watch for every resource, and is synced when the last list is complete', async (t) => {
    forbidExit(t);
    const api = await ScriptedApi.start(t);
    const seen: string[] = [];
    const shell = operatorShell(optionsFor(api, seen));
    assert.deepEqual(shell.watches(), []);
    await shell.start();
    const calls = [await api.next(), await api.next()].sort((a, b) => (a.path < b.path ? -1 : 1));
    assert.deepEqual(
      calls.map(({ path }) => path),
      ['/api/v1/pods', '/apis/metaveil.dev/v1/metadatapolicies'],
    );
    calls[0]?.list('1', []);
    assert.equal((await api.next()).query['watch'], 'true');
    assert.deepEqual(
      shell.watches().map(({ synced }) => synced),
      [true, false],
    );
    calls[1]?.list('1', []);
    await shell.synced;
    assert.deepEqual(seen, ['pods', 'metadatapolicies']);
    shell.stop();
    await shell.stopped();
    assert.deepEqual(api.timers.pending(), []);
  });

  it('outlives refusals and broken connections, and stops in the middle of them', async (t) => {
    forbidExit(t);
    const api = await ScriptedApi.start(t);
    const shell = operatorShell(optionsFor(api));
    await shell.start();
    (await api.next()).refuse(500, 'InternalError');
    (await api.next()).cut();
    await new Promise(setImmediate);
    shell.stop();
    await shell.stopped();
  });

  it('takes the kubeconfig that was chosen: a broken default one does not matter', async (t) => {
    const api = await ScriptedApi.start(t);
    const before = process.env['KUBECONFIG'];
    process.env['KUBECONFIG'] = '/nowhere/config';
    t.after(() => {
      if (before === undefined) delete process.env['KUBECONFIG'];
      else process.env['KUBECONFIG'] = before;
    });
    const shell = operatorShell(optionsFor(api));
    assert.ok(shell instanceof OperatorShell);
    assert.equal(process.env['KUBECONFIG'], '/nowhere/config', 'the environment is as before');
    assert.throws(
      () => operatorShell({ ...optionsFor(api), kubeconfigPath: '/nowhere/else' }),
      (error: unknown) => error instanceof MetaveilError && error.message === 'kubeconfig /nowhere/else: ENOENT',
    );
    assert.equal(process.env['KUBECONFIG'], '/nowhere/config');
  });

  it('knows the address of its own kinds, where the framework would say undefined', async (t) => {
    const api = await ScriptedApi.start(t);
    const options = optionsFor(api);
    class Open extends OperatorShell<string> {
      uri(): string {
        return this.getCustomResourceApiUri('metaveil.dev', 'v1', 'metadatapolicies', 'ns');
      }
      unregistered(): Promise<void> {
        return this.watchResource('apps', 'v1', 'daemonsets');
      }
    }
    const shell = new Open(options);
    const path = '/apis/metaveil.dev/v1/namespaces/ns/metadatapolicies';
    assert.equal(shell.uri(), options.client.transport.server + path);
    await assert.rejects(shell.unregistered(), /no reflection is registered for daemonsets of apps\/v1/);
  });

  it('runs on the one client of the product, and without the deprecated request', () => {
    const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
      packages: Record<string, { version?: string }>;
    };
    const found = Object.entries(lock.packages).filter(([path]) =>
      /(^|\/)node_modules\/(@kubernetes\/client-node|request)$/.test(path),
    );
    assert.deepEqual(
      found.map(([path]) => path),
      ['node_modules/@kubernetes/client-node'],
    );
    assert.match(found[0]?.[1].version ?? '', /^2\./);
  });
});
