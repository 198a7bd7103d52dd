import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PathFilter, ServiceAccountSource } from '../../../../operator/core/policy/decision.ts';
import { evaluatorOf } from '../../../../operator/core/policy/evaluate.ts';
import { readDocument, visibleListing, withAccount } from '../../../../operator/core/tree/document.ts';
import type { MetadataNode } from '../../../../operator/core/tree/node.ts';
import { documentJson, documentText } from '../../../../operator/core/tree/render.ts';
import { visible } from '../../../../operator/core/tree/visible.ts';
import { bindingView, bound, cmdp, email, mdp, path, subject } from '../policy/subjects.ts';

/** As Google's server writes it: an id above 2^53, disks as an array, strings for switches. */
const instance =
  '{"attributes":{"cluster-name":"prod","kube-env":"SECRET","my-Key_1":"x"},"cpuPlatform":"Intel","disks":[{"deviceName":"boot","index":0},' +
  '{"deviceName":"data","index":1}],"id":6512345678901234567,"networkInterfaces":[{"accessConfigs":[{"externalIp":"203.0.113.1"}],' +
  '"dnsServers":["169.254.169.254"],"ip":"10.0.0.2"}],"preempted":false,"serviceAccounts":{"default":{"aliases":["default"],' +
  '"email":"1-compute@developer.gserviceaccount.com","scopes":["s"]}},"tags":["a","b"]}';

function read(json: string, at = 'instance') {
  const node = readDocument(json, path(at));
  assert.ok(node !== undefined);
  return node;
}

const filterOf = (...policies: Parameters<typeof subject>[0] & object) => evaluatorOf(subject(policies)).evaluate;
const open = cmdp('open', { profile: 'Privileged' });

function seenBy(filter: PathFilter, json: string): MetadataNode {
  const decision = filter(['instance']);
  assert.ok(decision.kind === 'reveal');
  const node = visible(read(json), decision.permit, filter);
  assert.ok(node !== undefined);
  return node;
}

function shown(json: string, ...policies: readonly ReturnType<typeof cmdp>[]): string {
  return documentJson(seenBy(filterOf(...policies), json));
}

describe('documents of the real server', () => {
  it('come out as they went in where nothing is concealed', () => {
    assert.equal(shown(instance, open), instance);
  });

  it('lose exactly what is concealed', () => {
    const cases: readonly (readonly [pattern: string, removed: string])[] = [
      ['instance/attributes/kube-env', '"kube-env":"SECRET",'],
      ['instance/disks/1', ',{"deviceName":"data","index":1}'],
      ['instance/network-interfaces/*/access-configs', '"accessConfigs":[{"externalIp":"203.0.113.1"}],'],
      ['instance/cpu-platform', '"cpuPlatform":"Intel",'],
      ['instance/tags/1', ',"b"'],
      ['instance/tags', ',"tags":["a","b"]'],
    ];
    for (const [pattern, removed] of cases) {
      assert.ok(instance.includes(removed));
      assert.equal(shown(instance, open, mdp('p', { conceal: [pattern] })), instance.replace(removed, ''), pattern);
    }
  });

  it('hide names of partners that could be read in two ways, so that a policy on either finds them', () => {
    const partners = '{"partnerAttributes":{"p.example":{"secretKey":"SECRET","secret-key":"SECRET","plain":"x"}}}';
    assert.equal(shown(partners, open), partners.replace('"secretKey":"SECRET",', ''));
    const hidden = mdp('p', { conceal: ['instance/partner-attributes/*/secret-key'] });
    assert.equal(shown(partners, open, hidden), '{"partnerAttributes":{"p.example":{"plain":"x"}}}');
  });

  it('as text too', () => {
    const node = seenBy(filterOf(open, mdp('p', { conceal: ['instance/attributes/kube-env'] })), instance);
    const lines = documentText(node).split('\n');
    assert.ok(lines.includes('network-interfaces/0/access-configs/0/external-ip 203.0.113.1'));
    assert.ok(lines.includes('attributes/cluster-name prod'));
    assert.ok(lines.includes('tags b'));
    assert.ok(!documentText(node).includes('SECRET'));
  });

  it('under Baseline keep no attribute but the harmless ones', () => {
    const seen = shown(instance);
    assert.match(seen, /"attributes":\{"cluster-name":"prod"\}/);
    assert.doesNotMatch(seen, /SECRET|my-Key_1/);
  });

  it('keys whose path is uncertain are left out', () => {
    for (const key of ['Id', 'a b', 'a-b', 'a/b', '', '..', '__proto__', 'a.b', 'x_y', '\\u0000']) {
      assert.equal(shown(`{"id":1,"${key}":"SECRET"}`, open), '{"id":1}', key);
    }
    for (const key of ['a/b', '..', 'a b', '', 'a\\nb']) {
      assert.equal(shown(`{"attributes":{"${key}":"SECRET"}}`, open), '{"attributes":{}}', key);
    }
  });

  it('what is no document is none', () => {
    for (const json of ['', '{', 'null', '<html>', '['.repeat(100_000)])
      assert.equal(readDocument(json, []), undefined);
    assert.equal(documentJson(read(`{"a":${'[['.repeat(40)}1${']]'.repeat(40)}}`)).includes('1'), false);
  });

  it('guest attributes have a customer’s names on two levels', () => {
    const json = '{"host-keys":{"ssh_RSA":"x"}}';
    assert.equal(documentJson(read(json, 'instance/guest-attributes')), json);
  });
});

describe('the account in a document', () => {
  const source: ServiceAccountSource = { kind: 'binding', binding: bindingView() };

  it('is the workload’s, never the node’s', () => {
    const replaced = documentJson(withAccount(read(instance), ['instance'], source));
    assert.doesNotMatch(replaced, /compute@developer/);
    assert.ok(replaced.includes(`"serviceAccounts":{"${email}":{"aliases":["default"],"email":"${email}"`));
    const none = withAccount(read(instance), ['instance'], { kind: 'absent', reason: 'no-binding' });
    assert.ok(documentJson(none).includes('"serviceAccounts":{}'));
  });

  it('from the root too, and where the document had none', () => {
    const root = documentJson(withAccount(read(`{"instance":${instance},"project":{}}`, ''), [], source));
    assert.doesNotMatch(root, /compute@developer/);
    assert.ok(documentJson(withAccount(read('{"id":1}'), ['instance'], source)).includes(email));
  });

  it('is the node’s where the workload’s is', () => {
    assert.equal(documentJson(withAccount(read(instance), ['instance'], { kind: 'node' })), instance);
  });

  it('other documents are left alone', () => {
    const disks = '[{"index":0}]';
    assert.equal(documentJson(withAccount(read(disks, 'instance/disks'), ['instance', 'disks'], source)), disks);
    assert.equal(
      documentJson(withAccount(read('{"projectId":"p"}', 'project'), ['project'], source)),
      '{"projectId":"p"}',
    );
  });
});

describe('listings of the real server', () => {
  it('lose concealed entries and anything that is no plain name', () => {
    const listing = 'cluster-name\nkube-env\n../x\na b\n\u0000\ndir/\n';
    const filter = filterOf(open, mdp('p', { conceal: ['instance/attributes/kube-env'] }));
    assert.equal(visibleListing(listing, ['instance', 'attributes'], filter), 'cluster-name\ndir/\n');
    const baseline = evaluatorOf(subject([], bound)).evaluate;
    assert.equal(visibleListing(listing, ['instance', 'attributes'], baseline), 'cluster-name\n');
  });
});
