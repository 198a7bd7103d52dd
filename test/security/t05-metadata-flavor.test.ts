/** T05: `Metadata-Flavor: Google`, once and exactly so: what a browser or a naive forgery cannot send. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { denied, served } from './assertions.ts';
import { harmless, kubeEnv, pods, Stage, token, v1 } from './harness.ts';
import { flavorLine, hostLine, lines } from './requests.ts';

const missing = {
  status: 403,
  code: 'missing-metadata-flavor',
  body: 'Missing required header "Metadata-Flavor": "Google"\n',
} as const;
const malformed = { status: 400, code: 'malformed-header' } as const;

const request = (target: string, ...headers: readonly string[]) =>
  lines(`GET ${target} HTTP/1.1`, hostLine, ...headers);

const rows: readonly (readonly [what: string, headers: readonly string[]])[] = [
  ['absent', []],
  ['empty', ['Metadata-Flavor:']],
  ['a space', ['Metadata-Flavor: ']],
  ['given twice', [flavorLine, flavorLine]],
  ['given twice in two cases', [flavorLine, 'metadata-flavor: Google']],
  ['given twice, the second another', [flavorLine, 'Metadata-Flavor: x']],
  ['given twice, the first empty', ['Metadata-Flavor:', flavorLine]],
  ['given three times', [flavorLine, flavorLine, flavorLine]],
  ['in lower case', ['Metadata-Flavor: google']],
  ['in upper case', ['Metadata-Flavor: GOOGLE']],
  ['as a list', ['Metadata-Flavor: Google, Google']],
  ['as a list with another', ['Metadata-Flavor: Google,x']],
  ['as a list with nothing', ['Metadata-Flavor: Google,']],
  ['with a parameter', ['Metadata-Flavor: Google;q=1']],
  ['in quotes', ['Metadata-Flavor: "Google"']],
  ['longer', ['Metadata-Flavor: Google2']],
  ['shorter', ['Metadata-Flavor: Goog']],
  ['with a space inside', ['Metadata-Flavor: Goo gle']],
  ['with a no-break space', ['Metadata-Flavor: Google\u00a0']],
  ['with a full-width letter', ['Metadata-Flavor: \u00ef\u00bc\u00a7oogle']],
  ['percent-encoded', ['Metadata-Flavor: %47oogle']],
  ['of another cloud', ['Metadata-Flavor: Amazon']],
  ['under a name with an underscore', ['Metadata_Flavor: Google']],
  ['under a longer name', ['X-Metadata-Flavor: Google']],
  ['under a shorter name', ['Metadata-Flavo: Google']],
  ['as the header of the API before v1', ['X-Google-Metadata-Request: True']],
  ["as Azure's header", ['Metadata: true']],
  ["as AWS's header", ['X-aws-ec2-metadata-token: x']],
  ['in a cookie', ['Cookie: Metadata-Flavor=Google']],
  ['in another value', ['X: Metadata-Flavor: Google']],
];

const malformedRows: readonly (readonly [what: string, headers: readonly string[]])[] = [
  ['folded', ['Metadata-Flavor:', ' Google']],
  ['in the fold of another', ['X: a', ' Metadata-Flavor: Google']],
  ['with a space before the colon', ['Metadata-Flavor : Google']],
  ['with a NUL', ['Metadata-Flavor: Google\0']],
  ['with a NUL in the name', ['Metadata\0-Flavor: Google']],
  ['behind a bare carriage return', ['X: a\rMetadata-Flavor: Google']],
  ['behind a bare line feed', ['X: a\nMetadata-Flavor: Google']],
];

describe('T05 header rules', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage.stop());

  for (const [what, headers] of rows) {
    it(`${what}: missing-metadata-flavor`, async () => {
      const reply = denied(await stage.send(request(kubeEnv, ...headers), { from: pods.privileged }), missing);
      // Who looks for Google by its header must not find it in this one refusal.
      assert.equal(reply.headers.get('server'), undefined);
      assert.equal(reply.headers.get('content-length'), '52');
      denied(await stage.send(request(token, ...headers)), missing);
    });
  }

  for (const [what, headers] of malformedRows) {
    it(`${what}: malformed-header`, async () => {
      denied(await stage.send(request(kubeEnv, ...headers), { from: pods.privileged }), malformed);
    });
  }

  it('in the query, or in a trailer, is none', async () => {
    denied(await stage.send(request(`${harmless}?Metadata-Flavor=Google`)), missing);
    const trailer = request(harmless, 'Transfer-Encoding: chunked', 'Trailer: Metadata-Flavor');
    const seen = await stage.send(`${trailer}0\r\n${flavorLine}\r\n\r\n`);
    denied(seen, { status: 400, code: 'framing' });
  });

  for (const target of [
    v1,
    `${v1}/`,
    '/computeMetadata',
    '/computeMetadata/',
    `${v1}/nothing`,
    '/nothing',
    '/latest/',
  ]) {
    it(`is asked for at ${target}, before anything is said of it`, async () => {
      denied(await stage.send(request(target)), missing);
    });
  }

  it('leaves the connection open, and counts for one request only', async () => {
    const seen = await stage.send(request(harmless) + request(harmless, flavorLine) + request(harmless), {
      replies: 3,
    });
    assert.deepEqual(
      seen.replies.map(({ status }) => status),
      [403, 200, 403],
    );
    assert.deepEqual([seen.lines.length, seen.upstream.length], [2, 1]);
  });

  const upstream = [`${harmless}?alt=json`];
  for (const [what, ...headers] of [
    ['as documented', flavorLine],
    ['with its name in lower case', 'metadata-flavor: Google'],
    ['with its name in upper case', 'METADATA-FLAVOR: Google'],
    // White space around a value is no part of it (RFC 9110, 5.5).
    ['with spaces around its value', 'Metadata-Flavor:   Google  '],
    ['with a tab behind its value', 'Metadata-Flavor: Google\t'],
    ['without a space', 'Metadata-Flavor:Google'],
    ['named as a header of one hop', flavorLine, 'Connection: Metadata-Flavor'],
  ] as const) {
    it(`is served: ${what}`, async () => {
      served(await stage.send(request(harmless, ...headers)), { body: 'my-project', upstream });
    });
  }

  it('the root, where clients look for Google, is answered without it', async () => {
    for (const headers of [[], ['Metadata-Flavor: Not Google']]) {
      served(await stage.send(request('/', ...headers)), { body: 'computeMetadata/\n' });
    }
  });
});
