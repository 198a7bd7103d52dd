/** T09: a browser tricked by DNS rebinding sends the attacker's name as Host. Only our own names are answered. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { denied, served } from './assertions.ts';
import { harmless, kubeEnv, pods, Stage, v1 } from './harness.ts';
import { flavorLine, hostLine, lines } from './requests.ts';

const foreign = { status: 403, code: 'host-not-allowed' } as const;
const missing = { status: 400, code: 'host-missing' } as const;
const malformed = { status: 400, code: 'malformed-header' } as const;

const asked = (target: string, ...headers: readonly string[]) =>
  lines(`GET ${target} HTTP/1.1`, flavorLine, ...headers);

const names: readonly string[] = [
  ...['', ' ', 'evil.example', 'localhost', 'node-1', 'node-1.c.test-project.internal', 'kubernetes.default.svc'],
  ...['metadata.evil.example', 'metadata.google.internal.evil.example', 'evil.metadata.google.internal'],
  ...[
    'evil.internal',
    'google.internal',
    'xmetadata',
    'metadatax',
    'metadata-google.internal',
    'metadata_google_internal',
  ],
  ...['metadata..', 'metadata..internal', '.metadata', 'metadata.google..internal', 'metadata.google.internal..'],
  ...['metadata.internalx', 'metadata.cluster.local.evil.example', 'metadata.cluster.localx', 'metadata.xinternal'],
  ...[
    'metadata:',
    'metadata:0',
    'metadata:65536',
    'metadata:99999',
    'metadata:123456',
    'metadata:80:80',
    'metadata:-1',
  ],
  ...['metadata:http', 'metadata:8o', 'metadata: 80', 'metadata :80'],
  ...['user@metadata', 'user:password@metadata', 'metadata@evil.example', 'metadata%40evil.example'],
  ...['metadata,evil.example', 'metadata, metadata', 'metadata evil.example', 'metadata\tevil.example'],
  ...['metadata/', 'metadata/x', 'metadata?x', 'metadata#x', 'metadata\\', 'metadata;x', 'metadata%00', 'metadata%2e'],
  ...['m%65tadata', '"metadata"', '<metadata>', "metadata'", '*', '*.google.internal', 'http://metadata', '//metadata'],
  ...[
    'xn--metadata-',
    '\u00ef\u00bd\u008detadata',
    'm\u00d0\u00b5tadata',
    'metadata\u00e3\u0080\u0082',
    'metadata\u00ad',
  ],
  ...['127.0.0.1', '127.0.0.1:80', '0.0.0.0', '10.0.0.7', '169.254.169.252', '169.254.169.253', '169.254.170.2'],
  ...['169.254.169.254.', '169.254.169.254.evil.example', '1169.254.169.254', '169.254.169.2540', '169.254.169.254x'],
  ...['2852039166', '0xa9fea9fe', '0xA9.0xFE.0xA9.0xFE', '0251.0376.0251.0376', '169.254.43518', '169.16689662'],
  ...['0169.254.169.254', '169.254.169.0254', '+169.254.169.254', '169.254.169.254/32'],
  ...['[::1]', '[::ffff:169.254.169.254]', '[::ffff:a9fe:a9fe]', '[64:ff9b::169.254.169.254]', '[169.254.169.254]'],
  ...['fd20:ce::254', '[fd20:ce::254', 'fd20:ce::254]', '[[fd20:ce::254]]', '[fd20:ce::254%25eth0]', '[fd20:ce::255]'],
  ...['[fd20:ce::254]x', '[fd20:ce::254]:', '[fd20:ce::254]:0', '[fd00:ec2::254]', '[]', '[metadata]'],
  `metadata.${'a'.repeat(300)}.internal`,
];

describe('T09 Host and DNS rebinding', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage.stop());

  for (const name of names) {
    it(`${JSON.stringify(name.slice(0, 60))}: host-not-allowed`, async () => {
      denied(await stage.send(asked(kubeEnv, `Host: ${name}`), { from: pods.privileged }), foreign);
    });
  }

  for (const [what, headers, expected] of [
    ['no Host', [], missing],
    ['two Hosts', [hostLine, hostLine], missing],
    ['two Hosts, ours first', [hostLine, 'Host: evil.example'], missing],
    ['two Hosts, ours last', ['host: evil.example', hostLine], missing],
    ['three Hosts', [hostLine, hostLine, hostLine], missing],
    ['a Host under another name', ['X-Host: metadata'], missing],
    ['a Host in the fold of another', ['Host: evil.example', ' metadata'], malformed],
    ['a Host with a space before its colon', ['Host : metadata'], malformed],
    ['a Host with a NUL', ['Host: metadata\0.evil.example'], malformed],
    ['a Host with a control byte', ['Host: metadata\u0001'], malformed],
    ['a Host behind a bare line feed', ['X: a\nHost: metadata'], malformed],
  ] as const) {
    it(`${what}: ${expected.code}`, async () => {
      denied(await stage.send(asked(kubeEnv, ...headers), { from: pods.privileged }), expected);
    });
  }

  it('is looked at for every path, also where no header is needed', async () => {
    for (const path of ['/', '/computeMetadata/', '/0.1/meta-data/', `${v1}/`, '/nothing']) {
      denied(await stage.send(lines(`GET ${path} HTTP/1.1`, 'Host: evil.example')), foreign);
      denied(await stage.send(lines(`GET ${path} HTTP/1.1`)), missing);
    }
  });

  it('in an absolute target counts for nothing: neither agreeing nor overruling', async () => {
    const absolute = (authority: string, host: string) =>
      lines(`GET http://${authority}${kubeEnv} HTTP/1.1`, flavorLine, `Host: ${host}`);
    const from = { from: pods.privileged };
    denied(await stage.send(absolute('metadata', 'evil.example'), from), foreign);
    denied(await stage.send(absolute('evil.example', 'metadata'), from), { status: 400, code: 'target-form' });
    denied(await stage.send(absolute('metadata', 'metadata'), from), { status: 400, code: 'target-form' });
  });

  const upstream = [`${harmless}?alt=json`];
  const own = [
    ...['metadata', 'METADATA', 'metadata.', 'metadata:80', 'metadata:65535', 'metadata.google.internal', ' metadata '],
    ...['Metadata.Google.Internal', 'metadata.google.internal.', 'metadata.google.internal.:80'],
    ...['169.254.169.254', '169.254.169.254:80', '169.254.169.254:18980', '[fd20:ce::254]', '[FD20:CE::254]:80'],
    ...['metadata.team.svc.cluster.local', 'metadata.google.internal.svc.cluster.local.', 'metadata.cluster.local'],
    ...['metadata.c.my-project.internal', 'metadata.google.internal.c.my-project.internal'],
  ];
  for (const name of own) {
    it(`${JSON.stringify(name)} is served, and the upstream is asked under its own name`, async () => {
      served(await stage.send(asked(harmless, `Host: ${name}`)), { body: 'my-project', upstream });
    });
  }

  it('a redirect leads to the name that was accepted, never to another', async () => {
    const reply = served(await stage.send(asked('/computeMetadata', 'Host: Metadata:8080')), { status: 301 });
    assert.equal(reply.headers.get('location'), 'http://metadata:8080/computeMetadata/');
    const evil = await stage.send(asked('/computeMetadata', 'Host: metadata/@evil.example'));
    assert.equal(denied(evil, foreign).headers.get('location'), undefined);
  });
});
