import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readConfiguration } from '../../../operator/proxy/configuration.ts';

const env = {
  METAVEIL_NODE_API_URL: 'https://10.96.0.20:8443',
  METAVEIL_NODE_API_CA_FILE: '/ca/ca.crt',
  METAVEIL_NODE_API_TOKEN_FILE: '/token/token',
  METAVEIL_STATE_DIR: '/state',
  METAVEIL_HOST_IP: '10.0.0.5',
};

describe('configuration of the proxy', () => {
  it('comes from the environment of the pod, with defaults', () => {
    assert.deepEqual(readConfiguration([], env), {
      service: '10.96.0.20:8443',
      serverName: 'metaveil-controller.metaveil-system.svc',
      caFile: '/ca/ca.crt',
      tokenFile: '/token/token',
      stateDir: '/state',
      interceptDir: '',
      hostIPs: ['10.0.0.5'],
      ports: [9880, 9881],
      clusterDomain: 'cluster.local',
      upstream: { host: '169.254.169.254', port: 80 },
      drainMs: 20_000,
    });
  });

  it('takes flags before the environment, and lists', () => {
    const configuration = readConfiguration(['--host-ip', '10.0.0.6, fd00::6', '--ports=1,2', '--drain-seconds', '0'], {
      ...env,
      METAVEIL_NODE_API_URL: 'https://[fd00::20]',
    });
    assert.deepEqual(configuration.hostIPs, ['10.0.0.6', 'fd00::6']);
    assert.deepEqual(configuration.ports, [1, 2]);
    assert.equal(configuration.drainMs, 0);
    assert.equal(configuration.service, '[fd00::20]:443');
  });

  it('takes the address of another metadata server, IPv6 too', () => {
    const upstreamOf = (METAVEIL_UPSTREAM: string) => readConfiguration([], { ...env, METAVEIL_UPSTREAM }).upstream;
    assert.deepEqual(upstreamOf('http://127.0.0.1:8080'), { host: '127.0.0.1', port: 8080 });
    assert.deepEqual(upstreamOf('http://[fd20:ce::254]'), { host: 'fd20:ce::254', port: 80 });
  });

  for (const [what, argv, change, message] of [
    ['a missing variable', [], { METAVEIL_STATE_DIR: undefined }, /--state-dir \(or METAVEIL_STATE_DIR\) is not set/u],
    ['a plain-text node API', [], { METAVEIL_NODE_API_URL: 'http://10.96.0.20:8443' }, /https:\/\/HOST:PORT/u],
    ['a node API with a path', [], { METAVEIL_NODE_API_URL: 'https://10.96.0.20:8443/x' }, /https:\/\/HOST:PORT/u],
    ['a host name for an address', ['--host-ip', 'node-1'], {}, /--host-ip .* invalid entry: "node-1"/u],
    ['a port out of range', ['--ports', '9880,65536'], {}, /--ports .* invalid entry: "65536"/u],
    ['an unknown flag', ['--hostip', '10.0.0.5'], {}, /--hostip/u],
    ['an upstream by name', ['--upstream', 'http://metadata.google.internal'], {}, /--upstream .* http:\/\/ADDRESS/u],
    [
      'an upstream with a path',
      [],
      { METAVEIL_UPSTREAM: 'http://127.0.0.1:1/x' },
      /--upstream \(or METAVEIL_UPSTREAM\)/u,
    ],
    ['an upstream with credentials', [], { METAVEIL_UPSTREAM: 'http://a:b@127.0.0.1' }, /http:\/\/ADDRESS/u],
    ['a drain that is no number', ['--drain-seconds', '1m'], {}, /--drain-seconds .* not a number/u],
  ] as const) {
    it(`refuses ${what}, saying which`, () => {
      assert.throws(() => readConfiguration(argv, { ...env, ...change }), { code: 'invalid-configuration', message });
    });
  }
});
