/** The confinement of token requests, asked with the credentials it is about. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { ApiError, objectPath, type Api } from '../../cluster/api.ts';
import { startProductCluster, type Cluster } from '../../cluster/cluster.ts';
import { eventually } from '../../cluster/eventually.ts';
import { Pods, ServiceAccounts, type Stored } from '../../cluster/kinds.ts';
import { createNode } from '../../cluster/nodes.ts';
import { installProduct, kubectlOk, poolProvider } from '../installation.ts';
import { systemNamespace } from './product.ts';

const config = fileURLToPath(new URL('../../../config/', import.meta.url));
const audience = `//iam.googleapis.com/${poolProvider}`;
const namespace = 'default';

/** Ended the other way round, also when `before` got only half way. */
const endings: (() => Promise<unknown>)[] = [];
let cluster: Cluster;
let controller: Api;
let user: Api;
let pod: Stored<Pod>;

before(async () => {
  cluster = await startProductCluster();
  endings.push(() => cluster.stop());
  await installProduct(cluster);
  await createNode(cluster, 'node-a');
  pod = await cluster.api.create(Pods, podManifest('worker'));
  controller = cluster.apiAs(await cluster.token({ namespace: systemNamespace, name: 'metaveil-controller' }));
  endings.push(() => controller.close());
  // Somebody who may create tokens and pods in a namespace, as `edit` allows.
  const bind = [
    'create',
    'rolebinding',
    'user',
    '--clusterrole=edit',
    '-n',
    namespace,
    `--serviceaccount=${namespace}:user`,
  ];
  await kubectlOk(cluster, ['create', 'serviceaccount', 'user', '-n', namespace]);
  await kubectlOk(cluster, bind);
  user = cluster.apiAs(await cluster.token({ namespace, name: 'user' }));
  endings.push(() => user.close());
  await eventually('the admission policy is in force', async () =>
    (await verdict(controller, {})).startsWith('refused: ') ? true : undefined,
  );
});

after(async () => {
  for (const end of endings.reverse()) await end();
});

function podManifest(name: string, extra: object = {}): Pod {
  const containers = [{ name: 'main', image: 'none' }];
  return { metadata: { name, namespace }, spec: { nodeName: 'node-a', containers, ...extra } };
}

interface Asked {
  readonly audiences?: readonly string[];
  readonly expirationSeconds?: number;
  readonly boundObjectRef?: object;
  readonly namespace?: string;
}

/** `granted`, or `refused: ` with the sentence of the policy, or what else the API server said. */
async function verdict(as: Api, { namespace: place = namespace, ...spec }: Asked): Promise<string> {
  const path = objectPath(ServiceAccounts, { namespace: place, name: 'default' }, 'token');
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
  try {
    await as.send({ method: 'POST', path, body });
    return 'granted';
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    const sentence = /denied request: (.*)$/.exec(error.message)?.[1];
    return sentence === undefined ? `${error.code} ${error.message}` : `refused: ${sentence}`;
  }
}

function boundTo(changes: object = {}): object {
  return { kind: 'Pod', apiVersion: 'v1', name: 'worker', uid: pod.metadata.uid, ...changes };
}

describe('the controller is granted', () => {
  it('a token bound to a pod with its uid, for an hour', async () => {
    assert.equal(
      await verdict(controller, { audiences: [audience], expirationSeconds: 3600, boundObjectRef: boundTo() }),
      'granted',
    );
  });

  it('a token bound to a pod, of the default lifetime', async () => {
    assert.equal(await verdict(controller, { audiences: [audience], boundObjectRef: boundTo() }), 'granted');
  });

  it('an unbound token of ten minutes, to verify a binding', async () => {
    assert.equal(await verdict(controller, { audiences: [audience], expirationSeconds: 600 }), 'granted');
  });
});

const sentences = {
  one: 'refused: Metaveil may request a token for exactly one audience.',
  form: 'refused: Metaveil may request tokens only for the audience of a workload identity pool provider.',
  lifetime: 'refused: Metaveil may request tokens of at most 3600 seconds.',
  binding:
    'refused: Metaveil may request only tokens bound to a pod with its uid, or unbound ones of 600 seconds to verify a binding.',
  place: 'refused: Metaveil may not request tokens of kube-system or of its own namespace.',
} as const;

describe('the controller is refused', () => {
  /** Each differs from what is granted in one thing. The pod is known only when the tests run. */
  const rows: readonly (readonly [string, () => Asked, string])[] = [
    ["the API server's own audience by default", () => ({ boundObjectRef: boundTo() }), sentences.form],
    ['no audience', () => ({ audiences: [], boundObjectRef: boundTo() }), sentences.form],
    ['two audiences', () => ({ audiences: [audience, `${audience}2`], boundObjectRef: boundTo() }), sentences.one],
    [
      "the API server's audience beside Google's",
      () => ({ audiences: [audience, cluster.issuer], boundObjectRef: boundTo() }),
      sentences.one,
    ],
    [
      "the API server's audience by name",
      () => ({ audiences: [cluster.issuer], boundObjectRef: boundTo() }),
      sentences.form,
    ],
    [
      "the node API's audience",
      () => ({ audiences: ['metaveil-node-api'], boundObjectRef: boundTo() }),
      sentences.form,
    ],
    ['a foreign audience', () => ({ audiences: ['vault'], boundObjectRef: boundTo() }), sentences.form],
    ['an https spelling', () => ({ audiences: [`https:${audience}`], boundObjectRef: boundTo() }), sentences.form],
    [
      'an audience that only begins right',
      () => ({ audiences: [`${audience}/x`], boundObjectRef: boundTo() }),
      sentences.form,
    ],
    [
      'an audience that only ends right',
      () => ({ audiences: [`x${audience}`], boundObjectRef: boundTo() }),
      sentences.form,
    ],
    [
      'an audience with a second line',
      () => ({ audiences: [`${audience}\nvault`], boundObjectRef: boundTo() }),
      sentences.form,
    ],
    ['an empty audience', () => ({ audiences: [''], boundObjectRef: boundTo() }), sentences.form],
    [
      'two hours',
      () => ({ audiences: [audience], expirationSeconds: 7200, boundObjectRef: boundTo() }),
      sentences.lifetime,
    ],
    [
      'a second too much',
      () => ({ audiences: [audience], expirationSeconds: 3601, boundObjectRef: boundTo() }),
      sentences.lifetime,
    ],
    ['an unbound token of an hour', () => ({ audiences: [audience], expirationSeconds: 3600 }), sentences.binding],
    ['an unbound token of the default lifetime', () => ({ audiences: [audience] }), sentences.binding],
    ['an unbound token of 601 s', () => ({ audiences: [audience], expirationSeconds: 601 }), sentences.binding],
    [
      'a token bound to a pod by name alone',
      () => ({ audiences: [audience], boundObjectRef: boundTo({ uid: '' }) }),
      sentences.binding,
    ],
    [
      'a token bound to a Secret',
      () => ({ audiences: [audience], boundObjectRef: boundTo({ kind: 'Secret' }) }),
      sentences.binding,
    ],
    [
      'a token bound to a Node',
      () => ({ audiences: [audience], boundObjectRef: boundTo({ kind: 'Node', name: 'node-a' }) }),
      sentences.binding,
    ],
    [
      'a token of kube-system',
      () => ({ audiences: [audience], expirationSeconds: 600, namespace: 'kube-system' }),
      sentences.place,
    ],
    [
      'a token of its own namespace',
      () => ({ audiences: [audience], expirationSeconds: 600, namespace: systemNamespace }),
      sentences.place,
    ],
  ];
  for (const [what, asked, sentence] of rows) {
    it(what, async () => {
      assert.equal(await verdict(controller, asked()), sentence);
    });
  }

  it('a reference without a kind, ten minutes or not', async () => {
    const boundObjectRef = { name: 'worker', uid: pod.metadata.uid };
    assert.equal(await verdict(controller, { audiences: [audience], boundObjectRef }), sentences.binding);
    const short = await verdict(controller, { audiences: [audience], expirationSeconds: 600, boundObjectRef });
    assert.match(short, /^400 cannot bind token to object of type/);
  });

  it('a pod of another uid', async () => {
    const boundObjectRef = boundTo({ uid: '00000000-0000-4000-8000-000000000000' });
    assert.match(await verdict(controller, { audiences: [audience], boundObjectRef }), /^409 /);
  });
});

describe('without config/sts-audience', () => {
  it('others are left alone', async () => {
    assert.equal(await verdict(user, { audiences: [audience] }), 'granted');
    assert.equal(await verdict(user, {}), 'granted');
  });
});

describe('with config/sts-audience', () => {
  const refusedToken =
    "refused: Tokens for Google's token exchange are requested by Metaveil only; create a WorkloadIdentityBinding for the ServiceAccount.";

  before(async () => {
    await kubectlOk(cluster, ['apply', '-k', `${config}sts-audience`]);
    await eventually('both policies are in force', async () => {
      const refused = await verdict(user, { audiences: [audience] });
      const pods = await podVerdict('probe', [{ audience, path: 'token' }]);
      return refused === refusedToken && pods !== 'created' ? true : undefined;
    });
  });

  /** As a dry run: admission is all that is asked about. */
  async function podVerdict(name: string, tokens: readonly object[]): Promise<string> {
    const sources = tokens.map((serviceAccountToken) => ({ serviceAccountToken }));
    const volumes = [
      { name: 'scratch', emptyDir: {} },
      { name: 'tokens', projected: { sources } },
    ];
    const body = { apiVersion: 'v1', kind: 'Pod', ...podManifest(name, { nodeName: undefined, volumes }) };
    try {
      await user.send({ method: 'POST', path: `/api/v1/namespaces/${namespace}/pods?dryRun=All`, body });
      return 'created';
    } catch (error) {
      assert.ok(error instanceof ApiError, String(error));
      return error.message;
    }
  }

  for (const [what, spelling] of [
    ['plain', audience],
    ['https', `https:${audience}`],
  ] as const) {
    it(`another user's request for the audience is refused, ${what} spelling`, async () => {
      assert.equal(await verdict(user, { audiences: [spelling] }), refusedToken);
      assert.equal(await verdict(user, { audiences: ['vault', spelling] }), refusedToken);
    });

    it(`a pod that projects such a token is refused at creation, ${what} spelling`, async () => {
      const tokens = [{ path: 'a' }, { audience: spelling, path: 'b' }];
      assert.match(
        await podVerdict('projects', tokens),
        /A projected token for Google's token exchange is refused here/,
      );
    });
  }

  it('not even the admin gets one', async () => {
    assert.equal(await verdict(cluster.api, { audiences: [audience] }), refusedToken);
  });

  it('all other tokens pass, requested and projected', async () => {
    assert.equal(await verdict(user, {}), 'granted');
    assert.equal(await verdict(user, { audiences: ['vault'], expirationSeconds: 7200 }), 'granted');
    assert.equal(await podVerdict('plain', [{ path: 'a' }, { audience: 'vault', path: 'b' }]), 'created');
    assert.equal(await podVerdict('mentions', [{ audience: `x-${audience}`, path: 'a' }]), 'created');
  });

  it('the controller still gets its own', async () => {
    assert.equal(await verdict(controller, { audiences: [audience], boundObjectRef: boundTo() }), 'granted');
    assert.equal(await verdict(controller, { audiences: [audience], expirationSeconds: 600 }), 'granted');
  });
});
