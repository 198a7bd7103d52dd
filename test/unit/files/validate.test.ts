import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocuments } from '../../../operator/adapters/files/load.ts';
import { parseDocuments } from '../../../operator/adapters/files/parse.ts';
import { formatProblem } from '../../../operator/local/problem.ts';
import type { LoadedSamples } from '../../../operator/local/ports.ts';

function problemsOf(text: string): readonly string[] {
  const { documents, problems } = parseDocuments('f.yaml', text);
  assert.deepEqual(problems, []);
  const outcome = loadDocuments(documents);
  return outcome.kind === 'loaded' ? [] : outcome.problems.map(formatProblem);
}

function samplesOf(text: string): LoadedSamples {
  const outcome = loadDocuments(parseDocuments('f.yaml', text).documents);
  assert.equal(outcome.kind, 'loaded', JSON.stringify(outcome));
  return outcome.samples;
}

function binding(...lines: readonly string[]): string {
  const head = [
    'apiVersion: metaveil.dev/v1',
    'kind: WorkloadIdentityBinding',
    'metadata: {name: reports, namespace: web}',
  ];
  return [...head, 'spec:', ...lines.map((line) => `  ${line}`), ''].join('\n');
}

function proxy(...lines: readonly string[]): string {
  const head = ['apiVersion: metaveil.dev/v1', 'kind: MetadataProxy', 'metadata: {name: web}', 'spec:'];
  return [...head, ...lines.map((line) => `  ${line}`), ''].join('\n');
}

const direct = ['serviceAccountName: reports', 'access: Direct'] as const;

describe('a mistake is named with its line, its column and its fix', () => {
  const rows: readonly (readonly [string, string, readonly string[]])[] = [
    [
      'an unknown field near a known one, which is then not reported as missing as well',
      binding('serviceAccountName: reports', 'googleServiceAcount: a@b.iam.gserviceaccount.com'),
      ['f.yaml:6:3: unknown field spec.googleServiceAcount; did you mean googleServiceAccount?'],
    ],
    [
      'an unknown field near nothing',
      proxy('mode: Audit', 'replicas: 3'),
      [
        'f.yaml:6:3: unknown field spec.replicas; remove it; spec has the fields nodeSelector, tolerations, mode, defaultProfile, unboundWorkloads, hostNetworkWorkloads, platform, interception, emulated, removeStartupTaint, workload, image, imagePullSecrets, imagePullPolicy, podLabels, podAnnotations, resources, priorityClassName, maxUnavailable',
      ],
    ],
    [
      'a field of another kind',
      'apiVersion: metaveil.dev/v1\nkind: MetadataPolicy\nmetadata: {name: a, namespace: b}\nspec: {reveal: [instance/id]}\n',
      ['f.yaml:4:8: unknown field spec.reveal; remove it; only ClusterMetadataPolicy has it'],
    ],
    [
      'a field outside spec',
      `${binding(...direct)}scopes: []\n`,
      ['f.yaml:7:1: unknown field scopes; remove it; the object has the fields metadata, spec'],
    ],
    [
      'a field whose name is an attack on the terminal',
      `${binding(...direct)}  "\\e[2J\\u202Eevil": 1\n`,
      [
        'f.yaml:7:3: unknown field "\\\\u{1b}[2J\\\\u{202e}evil" in spec; remove it; spec has the fields serviceAccountName, access, googleServiceAccount, providerName, scopes, idTokenAudiences, tokenLifetimeSeconds, suspend'.replaceAll(
          '\\\\',
          '\\',
        ),
      ],
    ],
    [
      'a text for a number',
      binding(...direct, 'tokenLifetimeSeconds: soon'),
      ['f.yaml:7:25: spec.tokenLifetimeSeconds is "soon", but must be a whole number; write for example 1800'],
    ],
    [
      'a number for a text',
      binding('serviceAccountName: 7', 'access: Direct'),
      ['f.yaml:5:23: spec.serviceAccountName is the number 7, but must be a string; put it in quotes: "7"'],
    ],
    [
      'a word for a boolean',
      binding(...direct, 'suspend: maybe'),
      ['f.yaml:7:12: spec.suspend is "maybe", but must be true or false; change it'],
    ],
    [
      'a mapping for a list',
      binding(...direct, 'scopes: {}'),
      [
        'f.yaml:7:11: spec.scopes is a mapping, but must be a list; write for example [https://www.googleapis.com/auth/devstorage.read_only]',
      ],
    ],
    [
      'null in a list',
      binding(...direct, 'scopes: [~]'),
      [
        'f.yaml:7:12: spec.scopes[0] is null, but must be a string; write for example https://www.googleapis.com/auth/devstorage.read_only',
      ],
    ],
    [
      'a value not listed, in the wrong case',
      binding('serviceAccountName: reports', 'access: direct'),
      ['f.yaml:6:11: spec.access is "direct"; did you mean Direct? use one of Impersonate, Direct'],
    ],
    [
      'a value not listed, near none',
      proxy('mode: Off-and-on'),
      ['f.yaml:5:9: spec.mode is "Off-and-on"; use one of Audit, Enforce'],
    ],
    [
      'a number below its range',
      binding(...direct, 'tokenLifetimeSeconds: 1'),
      ['f.yaml:7:25: spec.tokenLifetimeSeconds is 1; use 600 to 43200'],
    ],
    [
      'a number beyond 32 bits',
      binding(...direct, 'tokenLifetimeSeconds: 4294967296'),
      ['f.yaml:7:25: spec.tokenLifetimeSeconds is 4294967296; use 600 to 43200'],
    ],
    [
      'a number below an open range',
      proxy('tolerations: [{key: a, effect: NoExecute, tolerationSeconds: -1}]'),
      ['f.yaml:5:64: spec.tolerations[0].tolerationSeconds is -1; use at least 0'],
    ],
    [
      'an empty list',
      binding(...direct, 'scopes: []'),
      [
        'f.yaml:7:11: spec.scopes is empty; remove it, or write for example [https://www.googleapis.com/auth/devstorage.read_only]',
      ],
    ],
    [
      'an empty text, reported once',
      binding(...direct, 'providerName: ""'),
      ['f.yaml:7:17: spec.providerName is empty; remove it, or write for example prod-pool'],
    ],
    [
      'a text too long',
      proxy(`nodeSelector: {pool: ${'a'.repeat(64)}}`),
      ['f.yaml:5:24: spec.nodeSelector.pool has 64 characters; shorten it to at most 63'],
    ],
    [
      'a value twice in a set',
      binding(...direct, 'scopes: [openid, email, openid]'),
      ['f.yaml:7:27: spec.scopes has "openid" twice; remove spec.scopes[2]'],
    ],
    [
      'a text of another form',
      binding('serviceAccountName: reports', 'googleServiceAccount: me@example.com'),
      [
        'f.yaml:6:25: spec.googleServiceAccount is "me@example.com", but must be the e-mail address of a Google service account, which ends in gserviceaccount.com; write for example reports@my-project.iam.gserviceaccount.com',
      ],
    ],
    [
      'a missing field',
      binding('access: Direct'),
      ['f.yaml:4:1: spec.serviceAccountName is missing; add serviceAccountName: reports to spec'],
    ],
    [
      'a name that is not the ServiceAccount',
      binding('serviceAccountName: other', 'access: Direct'),
      ['f.yaml:3:18: metadata.name must equal spec.serviceAccountName; rename the binding after its ServiceAccount'],
    ],
    [
      'a rule across fields, at the field it names',
      binding(...direct, 'tokenLifetimeSeconds: 7200'),
      [
        'f.yaml:7:25: spec.tokenLifetimeSeconds must be at most 3600 with access: Direct; lower it, or use access: Impersonate',
      ],
    ],
    [
      'a rule on a list item',
      proxy('tolerations:', '  - operator: Exists', '  - value: gpu'),
      [
        'f.yaml:7:7: spec.tolerations[1]: a toleration without key must have operator: Exists; add the key or the operator',
      ],
    ],
    [
      'several at once, each at its place',
      binding('serviceAccountName: other', 'access: Direct', 'suspend: 1', 'foo: 2'),
      [
        'f.yaml:3:18: metadata.name must equal spec.serviceAccountName; rename the binding after its ServiceAccount',
        'f.yaml:7:12: spec.suspend is the number 1, but must be true or false; change it',
        'f.yaml:8:3: unknown field spec.foo; remove it; spec has the fields serviceAccountName, access, googleServiceAccount, providerName, scopes, idTokenAudiences, tokenLifetimeSeconds, suspend',
      ],
    ],
  ];
  for (const [what, text, expected] of rows) {
    it(what, () => assert.deepEqual(problemsOf(text), expected));
  }

  it('in an alias, at the alias', () => {
    const text = binding('serviceAccountName: reports', 'providerName: &p Bad', 'googleServiceAccount: *p');
    assert.match(problemsOf(text).at(-1) ?? '', /^f\.yaml:7:25: spec\.googleServiceAccount is "Bad"/);
  });

  it('shortened and in quotes when the value is long', () => {
    const [line = ''] = problemsOf(binding('serviceAccountName: reports', `googleServiceAccount: ${'a'.repeat(5000)}`));
    assert.ok(line.length < 300, line);
  });

  it('at most a hundred times', () => {
    const text = Array.from(
      { length: 300 },
      (_, index) => `apiVersion: metaveil.dev/v1\nkind: K${String(index)}\n---\n`,
    ).join('');
    assert.equal(problemsOf(text).length, 100);
  });
});

describe('type and metadata', () => {
  const rows: readonly (readonly [string, string, string])[] = [
    [
      'no mapping at all',
      '- a\n',
      'f.yaml:1:1: the document is not a mapping; write apiVersion, kind, metadata and spec',
    ],
    [
      'no apiVersion',
      'kind: MetadataProxy\n',
      'f.yaml:1:1: apiVersion is missing; add for example apiVersion: metaveil.dev/v1',
    ],
    [
      'a number for apiVersion',
      'apiVersion: 1\nkind: Pod\n',
      'f.yaml:1:13: apiVersion must be a string; add for example apiVersion: metaveil.dev/v1',
    ],
    [
      'no kind',
      'apiVersion: metaveil.dev/v1\n',
      'f.yaml:1:1: kind is missing; add for example kind: WorkloadIdentityBinding',
    ],
    [
      'a misspelt kind',
      'apiVersion: metaveil.dev/v1\nkind: MetadataPolicies\n',
      'f.yaml:2:7: metaveil.dev has no kind "MetadataPolicies"; did you mean MetadataPolicy?',
    ],
    [
      'a foreign kind',
      'apiVersion: metaveil.dev/v1\nkind: Pod\n',
      'f.yaml:2:7: metaveil.dev has no kind "Pod"; use one of WorkloadIdentityBinding, WorkloadIdentityProvider, MetadataPolicy, ClusterMetadataPolicy, MetadataProxy',
    ],
    [
      'another version',
      'apiVersion: metaveil.dev/v1alpha1\nkind: MetadataProxy\n',
      'f.yaml:1:13: MetadataProxy has no apiVersion "metaveil.dev/v1alpha1"; use metaveil.dev/v1',
    ],
    [
      'our kind in the core group',
      'apiVersion: v1\nkind: MetadataProxy\n',
      'f.yaml:1:13: MetadataProxy has no apiVersion "v1"; use metaveil.dev/v1',
    ],
    [
      'a list',
      'apiVersion: v1\nkind: List\nitems: []\n',
      'f.yaml:2:7: lists ("List") are not read from files; write each item as a document of its own, separated by ---',
    ],
    [
      'no metadata',
      'apiVersion: metaveil.dev/v1\nkind: MetadataProxy\nspec: {}\n',
      'f.yaml:1:1: metadata is missing; add metadata',
    ],
    [
      'no spec',
      'apiVersion: metaveil.dev/v1\nkind: MetadataProxy\nmetadata: {name: a}\n',
      'f.yaml:1:1: spec is missing; add spec: {nodeSelector: {pool: web}}',
    ],
    [
      'no namespace',
      binding(...direct).replace(', namespace: web', ''),
      'f.yaml:3:1: metadata.namespace is missing; add namespace: metaveil-samples to metadata',
    ],
    [
      'a namespace where there is none',
      proxy('mode: Audit').replace('{name: web}', '{name: web, namespace: a}'),
      'f.yaml:3:23: metadata.namespace is set, but the kind is cluster-scoped; remove it',
    ],
    [
      'a namespace of two labels',
      binding(...direct).replace('namespace: web', 'namespace: a.b'),
      `f.yaml:3:38: metadata.namespace is "a.b", but must be lower-case letters, digits and '-', with a letter or digit at both ends; write for example metaveil-samples`,
    ],
    [
      'a misspelt metadata field',
      proxy('mode: Audit').replace('{name: web}', '{name: web, label: {}}'),
      'f.yaml:3:23: unknown field metadata.label; did you mean labels?',
    ],
    [
      'a number for a label',
      proxy('mode: Audit').replace('{name: web}', '{name: web, labels: {a: 1}}'),
      'f.yaml:3:35: metadata.labels.a is the number 1, but must be a string; put it in quotes: "1"',
    ],
    [
      'a pod without namespace',
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n',
      'f.yaml:3:1: metadata.namespace is missing; add namespace: metaveil-samples to metadata',
    ],
    [
      'a node with a namespace',
      'apiVersion: v1\nkind: Node\nmetadata: {name: a, namespace: b}\n',
      'f.yaml:3:21: metadata.namespace is set, but the kind is cluster-scoped; remove it',
    ],
    [
      'a pod without name',
      'apiVersion: v1\nkind: Pod\nmetadata: {namespace: a}\n',
      'f.yaml:3:1: metadata.name is missing; add name: reports to metadata',
    ],
  ];
  for (const [what, text, expected] of rows) {
    it(what, () => assert.deepEqual(problemsOf(text), [expected]));
  }
});

describe('what is valid', () => {
  it('has its defaults, and neither status nor what the API server writes into metadata', () => {
    const text = `${proxy('mode: Audit', 'workload: ~').replace('{name: web}', '{name: web, uid: x, labels: {a: b}, managedFields: [1]}')}status: {nodes: 7}\n`;
    const [resource] = samplesOf(text).resources;
    assert.deepEqual(resource, {
      at: { file: 'f.yaml', line: 1, column: 1 },
      object: {
        apiVersion: 'metaveil.dev/v1',
        kind: 'MetadataProxy',
        metadata: { name: 'web', labels: { a: 'b' } },
        spec: {
          mode: 'Audit',
          defaultProfile: 'Baseline',
          unboundWorkloads: 'Deny',
          hostNetworkWorkloads: 'Identify',
          platform: 'Auto',
          interception: 'NFTables',
          removeStartupTaint: false,
          workload: 'DaemonSet',
          imagePullPolicy: 'IfNotPresent',
          priorityClassName: 'system-node-critical',
          maxUnavailable: '1',
        },
      },
    });
  });

  it('may be of a kind nobody here knows, which passes through whole', () => {
    const text =
      'apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a, namespace: b, uid: c}\nspec: {size: [1, {two: 3}]}\n';
    assert.deepEqual(
      samplesOf(text).others.map(({ object }) => object),
      [
        {
          apiVersion: 'example.com/v1',
          kind: 'Widget',
          metadata: { name: 'a', namespace: 'b' },
          spec: { size: [1, { two: 3 }] },
        },
      ],
    );
  });

  it('leaves the parsed document as it was', () => {
    const { documents } = parseDocuments('f.yaml', proxy('mode: Audit'));
    loadDocuments(documents);
    assert.deepEqual(documents[0]?.value, {
      apiVersion: 'metaveil.dev/v1',
      kind: 'MetadataProxy',
      metadata: { name: 'web' },
      spec: { mode: 'Audit' },
    });
  });
});

describe('an object defined twice', () => {
  it('is an error that names both places', () => {
    assert.deepEqual(problemsOf(`${binding(...direct)}---\n${binding(...direct)}`), [
      'f.yaml:8:1: WorkloadIdentityBinding "web/reports" is defined twice; remove one of the two; the other is at f.yaml:1:1',
    ]);
  });

  it('is the same object under another version of its API', () => {
    const widget = (version: string) => `apiVersion: example.com/${version}\nkind: Widget\nmetadata: {name: a}\n`;
    assert.deepEqual(problemsOf(`${widget('v1')}---\n${widget('v2')}`), [
      'f.yaml:5:1: Widget "a" is defined twice; remove one of the two; the other is at f.yaml:1:1',
    ]);
  });

  it('is not the same name in another namespace, or of another kind or group', () => {
    const objects = [
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\n',
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: c}\n',
      'apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, namespace: b}\n',
      'apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a, namespace: b}\n',
      'apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: a, namespace: b}\n',
    ];
    assert.equal(samplesOf(objects.join('---\n')).others.length, 5);
  });
});
