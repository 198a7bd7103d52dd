import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import type { Network } from '../../netns/network.ts';
import { addresses, metadataServer, nodeNetwork } from '../../netns/topology.ts';
import { ClientProcess, type Asked, type Reply } from '../client-process.ts';
import { run } from './command.ts';
import type { ConformanceClient, Operation, PreparedClient } from './contract.ts';
import { client as go } from './go.ts';
import { client as java } from './java.ts';
import { client as python } from './python.ts';

const scopes = [
  'https://www.googleapis.com/auth/devstorage.read_only',
  'https://www.googleapis.com/auth/userinfo.email',
];
const cloudPlatform = 'https://www.googleapis.com/auth/cloud-platform';
const audience = 'https://service.example/path?query=1&more=%20';
const storagePort = 4443;
const endpoint = `http://${addresses.cloud.ipv4}:${storagePort}`;

const everything: readonly Asked[] = [
  { operation: 'on-gce' },
  { operation: 'project-id' },
  { operation: 'zone' },
  { operation: 'email' },
  { operation: 'access-token' },
  { operation: 'access-token', scopes },
  { operation: 'identity-token', audience },
  { operation: 'universe-domain' },
  { operation: 'list-buckets', endpoint },
];

/** What a client says when the server refuses it an identity, by operation. */
type Refusals = Partial<Record<Operation['operation'], RegExp>>;

/** The server's own words reach the user in Python only, and not for identity tokens. */
const pythonRefusal =
  /^RefreshError: .*Status: 404 Response:\\nb'This metadata endpoint is concealed.*create a WorkloadIdentityBinding named unbound in namespace team/;
const goRefusal = (path: string): RegExp =>
  new RegExp(`^metadata\\.NotDefinedError: .*metadata: GCE metadata "${path}.*" not defined$`);
const javaRefusal = (what: string): RegExp => new RegExp(`IOException: Error code 404 trying to get ${what}`);

const clients: readonly {
  readonly client: ConformanceClient;
  readonly lockFile: string;
  readonly refusals: Refusals;
}[] = [
  {
    client: python,
    lockFile: 'python/requirements.txt',
    refusals: {
      email: pythonRefusal,
      'access-token': pythonRefusal,
      'identity-token': /^DefaultCredentialsError: Neither metadata server or valid service account credentials/,
      'list-buckets': pythonRefusal,
    },
  },
  {
    client: go,
    lockFile: 'go/go.mod',
    refusals: {
      email: goRefusal('instance/service-accounts/default/email'),
      'access-token': goRefusal('instance/service-accounts/default/token'),
      'identity-token': goRefusal('instance/service-accounts/default/identity'),
      'list-buckets': goRefusal('instance/service-accounts/default/token'),
    },
  },
  {
    client: java,
    lockFile: 'java/jars.sha256',
    refusals: {
      email: javaRefusal('service accounts from Compute Engine metadata'),
      'access-token': javaRefusal('security access token'),
      'identity-token': javaRefusal('identity token'),
    },
  },
];

/** The made-up token's claims. */
function claimsOf(token: string): Record<string, unknown> {
  const [, claims = ''] = token.split('.');
  return JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>;
}

function assertGiven(asked: Asked, reply: Reply): void {
  assert.ok(reply.ok, `${asked.operation}: ${JSON.stringify(reply)}`);
  switch (asked.operation) {
    case 'on-gce':
      assert.equal(reply.value, 'true');
      break;
    case 'project-id':
      assert.equal(reply.value, 'test-project');
      break;
    case 'zone':
      assert.equal(reply.value, 'europe-west4-a');
      break;
    case 'email':
      assert.equal(reply.value, 'bound@test-project.iam.gserviceaccount.com');
      break;
    case 'access-token':
      assert.deepEqual(claimsOf(reply.value)['scopes'], asked.scopes ?? [cloudPlatform]);
      break;
    case 'identity-token':
      assert.equal(claimsOf(reply.value)['aud'], asked.audience);
      break;
    case 'universe-domain':
      assert.equal(reply.value, 'googleapis.com');
      break;
    case 'list-buckets':
      assert.match(reply.value, /^first-\d+,second-\d+$/);
      break;
  }
}

/** Runs in a mount namespace of its own, where the server's name is known as it is on a node of Google's. */
const enterPod = `
set -e
mount --bind "$1/hosts" /etc/hosts
mount --bind "$1/resolv.conf" /etc/resolv.conf
shift
exec "$@"
`;

describe('conformance clients', () => {
  let network: Network;
  let editBinding: () => Promise<unknown>;

  before(async () => {
    network = nodeNetwork();
    writeFileSync(
      join(network.folder, 'hosts'),
      `127.0.0.1 localhost\n${metadataServer.ipv4} metadata.google.internal metadata\n`,
    );
    // Nobody listens there: other names are unknown at once.
    writeFileSync(join(network.folder, 'resolv.conf'), 'nameserver 127.0.0.1\n');
    mkdirSync(join(network.folder, 'home'));
    const { ipv4: bound } = addresses['pod-a'];
    const { ipv4: unbound } = addresses['pod-c'];
    const server = network.spawn(
      'cloud',
      [
        process.execPath,
        join(import.meta.dirname, 'metadata-server.ts'),
        bound,
        unbound,
        addresses.cloud.ipv4,
        `${storagePort}`,
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    assert.ok(server.stdin !== null && server.stdout !== null);
    const [input, lines] = [server.stdin, createInterface({ input: server.stdout })];
    await once(lines, 'line');
    editBinding = () => {
      input.write('\n');
      return once(lines, 'line');
    };
  });

  after(() => network[Symbol.asyncDispose]());

  function spawnIn(place: 'pod-a' | 'pod-c', prepared: PreparedClient): ChildProcess {
    const home = join(network.folder, 'home');
    const enter = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', enterPod, 'pod'] as const;
    return network.spawn(place, [...enter, network.folder, ...prepared.command], {
      env: { PATH: process.env['PATH'] ?? '', HOME: home, ...prepared.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: home,
    });
  }

  const start = async (client: ConformanceClient, place: 'pod-a' | 'pod-c'): Promise<ClientProcess> =>
    new ClientProcess(spawnIn(place, await client.prepare()));

  for (const { client, lockFile, refusals } of clients) {
    const asked = everything.filter(({ operation }) => client.operations.includes(operation));

    it(`${client.name}: gets everything in a bound pod`, async () => {
      const pod = await start(client, 'pod-a');
      for (const operation of asked) assertGiven(operation, await pod.ask(operation));
      await pod.end();
    });

    it(`${client.name}: is refused all of an identity, and nothing else, in an unbound pod`, async () => {
      const pod = await start(client, 'pod-c');
      for (const operation of asked) {
        const reply = await pod.ask(operation);
        const refusal = refusals[operation.operation];
        if (refusal === undefined) assertGiven(operation, reply);
        else assert.match(reply.ok ? `given: ${operation.operation}` : reply.error, refusal);
      }
      await pod.end();
    });

    it(`${client.name}: keeps its credentials until it is asked for fresh ones`, async () => {
      const pod = await start(client, 'pod-a');
      const generation = async (fresh: boolean): Promise<unknown> => {
        const reply = await pod.ask({ operation: 'access-token', scopes, fresh });
        return claimsOf(reply.ok ? reply.value : reply.error)['generation'];
      };
      const first = Number(await generation(false));
      await editBinding();
      assert.equal(await generation(false), first);
      assert.equal(await generation(true), first + 1);
      assert.equal(await generation(false), first + 1);
      await pod.end();
    });

    it(`${client.name}: answers a wrong question as a failure, and ends with its input`, async () => {
      const child = spawnIn('pod-a', await client.prepare());
      const pod = new ClientProcess(child);
      const wrong = { operation: 'no-such-operation' } as unknown as Asked;
      assert.match(await pod.ask(wrong).then((reply) => (reply.ok ? 'answered' : reply.error)), /no.such.operation/);
      assertGiven({ operation: 'on-gce' }, await pod.ask({ operation: 'on-gce' }));
      await pod.end();
      assert.equal(child.exitCode, 0);
    });

    it(`${client.name}: has loaded the versions that its lock file names`, async () => {
      const { versions } = await client.prepare();
      const locked = readFileSync(join(import.meta.dirname, lockFile), 'utf8');
      assert.notDeepEqual(versions, {});
      for (const [library, version] of Object.entries(versions)) {
        // `name==version`, `name vversion`, `name-version.jar`, each with more after it.
        const named = ['==', '[requests]==', ' v', '-'].some((between) =>
          locked.includes(`${library}${between}${version}`),
        );
        assert.ok(named, `${library} ${version}`);
      }
    });
  }
});

describe('the preparation of a client', () => {
  it('fails with the name of a program that is missing', async () => {
    await assert.rejects(run(['metaveil-no-such-compiler', '--fast']), {
      message: 'metaveil-no-such-compiler --fast: this program is not installed, and a conformance client needs it',
    });
  });

  it('fails with the last words of a program that failed', async () => {
    await assert.rejects(run(['sh', '-c', 'echo first; echo second >&2; exit 3']), /failed \(3\):\nfirst\n+second/);
  });
});
