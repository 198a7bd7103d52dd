import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { answerOutsideTree } from '../../../../operator/core/tree/answer.ts';
import { bound, bindingView, cmdp, email, mdp, subject, unbound } from '../policy/subjects.ts';
import { accepted, get } from '../request/raw.ts';
import { ask, bodyOf, hash } from './ask.ts';

const privileged = [cmdp('p', { profile: 'Privileged' })];
const scope = 'https://www.googleapis.com/auth/cloud-platform';

describe('values', () => {
  const rows: readonly (readonly [below: string, body: string])[] = [
    ['project/project-id', 'my-project'],
    ['project/numeric-project-id', '123456789012'],
    ['instance/id', '6512345678901234567'],
    ['instance/name', 'node-a'],
    ['instance/hostname', 'node-a.c.my-project.internal'],
    ['instance/zone', 'projects/123456789012/zones/europe-west4-a'],
    ['instance/attributes/cluster-name', 'prod'],
    ['instance/attributes/cluster-location', 'europe-west4'],
    ['instance/attributes/cluster-uid', 'f00d'],
    ['universe/universe-domain', 'googleapis.com'],
    ['instance/service-accounts/default/email', email],
    [`instance/service-accounts/${email}/email`, email],
    ['instance/service-accounts/default/aliases', 'default\n'],
    ['instance/service-accounts/default/scopes', `${scope}\n`],
    ['instance/id?alt=json', '6512345678901234567'],
    ['project/project-id?alt=json', '"my-project"'],
    ['project/project-id?recursive=true', 'my-project'],
    ['instance/service-accounts/default/aliases?alt=json', '["default"]'],
    ['instance/service-accounts/default/token', 'dynamic'],
    [`instance/service-accounts/${email}/identity?audience=x`, 'dynamic'],
    ['instance/machine-type', 'not-found'],
    ['instance/id/x', 'not-found'],
    ['instance/id/', 'not-found'],
    ['instance/service-accounts/other@p/token', 'not-found'],
    ['instance/attributes/absent', 'concealed by policy'],
  ];
  for (const [below, body] of rows) {
    it(below, () => assert.equal(bodyOf(subject(), below), body));
  }

  it('scopes are the binding’s allow-list', () => {
    const asked = subject([], { kind: 'bound', binding: bindingView({ scopes: ['a', 'b'] }) });
    assert.equal(bodyOf(asked, 'instance/service-accounts/default/scopes'), 'a\nb\n');
  });

  it('a zone without project, and absent values, do not exist', () => {
    const { emulated } = subject().settings;
    const { projectId: _id, numericProjectId: _number, ...rest } = emulated;
    assert.ok(_id !== undefined && _number !== undefined);
    const asked = subject([], bound, { emulated: rest });
    assert.equal(bodyOf(asked, 'instance/zone'), 'not-found');
    assert.equal(bodyOf(asked, 'project/project-id'), 'not-found');
    assert.equal(bodyOf(asked, 'project/'), 'attributes/\n');
  });
});

describe('directories', () => {
  it('without the slash are a redirect that keeps the query', () => {
    const rows: readonly (readonly [below: string, location: string])[] = [
      ['instance', '/computeMetadata/v1/instance/'],
      ['instance?recursive=true', '/computeMetadata/v1/instance/?recursive=true'],
      [
        'instance/service-accounts/default?alt=text&x=1',
        '/computeMetadata/v1/instance/service-accounts/default/?alt=text',
      ],
      [`instance/service-accounts/${email}`, `/computeMetadata/v1/instance/service-accounts/${email}/`],
    ];
    for (const [below, location] of rows) assert.deepEqual(ask(subject(), below), { kind: 'redirect', location });
  });

  it('list one entry per line, directories with a slash', () => {
    assert.equal(bodyOf(subject(), ''), 'instance/\nproject/\nuniverse/\n');
    assert.equal(bodyOf(subject(), 'instance/'), 'attributes/\nhostname\nid\nname\nservice-accounts/\nzone\n');
    assert.equal(bodyOf(subject(), 'instance/service-accounts/'), `${email}/\ndefault/\n`);
    assert.equal(bodyOf(subject(), 'instance/service-accounts/default/'), 'aliases\nemail\nidentity\nscopes\ntoken\n');
    assert.equal(bodyOf(subject(), 'instance/service-accounts/?alt=json'), `["${email}/","default/"]`);
  });

  it('list no concealed entry', () => {
    const cluster = 'cluster-location\ncluster-name\ncluster-uid\n';
    assert.equal(bodyOf(subject(), 'instance/attributes/'), cluster);
    assert.equal(bodyOf(subject(privileged), 'instance/attributes/'), `${cluster}kube-env\nteam\n`);
    const hidden = subject([mdp('p', { conceal: ['instance/service-accounts/*/token', 'instance/z*'] })]);
    assert.equal(bodyOf(hidden, 'instance/service-accounts/default/'), 'aliases\nemail\nidentity\nscopes\n');
    assert.equal(bodyOf(hidden, 'instance/'), 'attributes/\nhostname\nid\nname\nservice-accounts/\n');
  });
});

describe('recursive documents', () => {
  it('an account is what Google’s client libraries read', () => {
    const document = `{"aliases":["default"],"email":"${email}","scopes":["${scope}"]}`;
    assert.equal(bodyOf(subject(), 'instance/service-accounts/default/?recursive=true'), document);
    assert.equal(bodyOf(subject(), `instance/service-accounts/${email}/?recursive=true&alt=json`), document);
    const all = `{"${email}":${document},"default":${document}}`;
    assert.equal(bodyOf(subject(), 'instance/service-accounts/?recursive=true'), all);
  });

  it('have camelCase keys, attributes verbatim, ids without loss', () => {
    const asked = subject([cmdp('p', { profile: 'Restricted' }), mdp('q', { conceal: ['instance/service-accounts'] })]);
    const expected =
      '{"instance":{"attributes":{"cluster-location":"europe-west4","cluster-name":"prod","cluster-uid":"f00d"},' +
      '"hostname":"node-a.c.my-project.internal","id":6512345678901234567,"name":"node-a",' +
      '"zone":"projects/123456789012/zones/europe-west4-a"},' +
      '"project":{"numericProjectId":123456789012,"projectId":"my-project"},' +
      '"universe":{"universeDomain":"googleapis.com"}}';
    assert.equal(bodyOf(asked, '?recursive=true'), expected);
  });

  it('as text: a path and a value per line', () => {
    const text = `aliases default\nemail ${email}\nscopes ${scope}\n`;
    assert.equal(bodyOf(subject(), 'instance/service-accounts/default/?recursive=true&alt=text'), text);
    assert.equal(
      bodyOf(subject(), 'project/?recursive=true&alt=text'),
      'numeric-project-id 123456789012\nproject-id my-project\n',
    );
  });

  it('leave out what is concealed, below every ancestor', () => {
    for (const below of [
      '?recursive=true',
      'instance/?recursive=true',
      'instance/attributes/?recursive=true&alt=text',
    ]) {
      assert.doesNotMatch(bodyOf(subject(), below), /SECRET-KUBE-ENV|kube-env|team/);
      assert.match(bodyOf(subject(privileged), below), /SECRET-KUBE-ENV/);
    }
  });
});

describe('a workload without identity', () => {
  it('gets an empty listing, and 404 with a reason below', () => {
    assert.equal(bodyOf(subject([], unbound), 'instance/service-accounts/'), '');
    assert.equal(bodyOf(subject([], unbound), 'instance/service-accounts/?recursive=true'), '{}');
    for (const below of ['default/', 'default/token', 'default', 'a@b/identity?audience=x']) {
      const answer = ask(subject([], unbound), `instance/service-accounts/${below}`);
      assert.deepEqual(answer, { kind: 'no-service-account', reason: 'no-binding' });
    }
  });
});

describe('types and ETags', () => {
  const content = (below: string) => {
    const answer = ask(subject(), below);
    assert.ok(answer !== 'concealed by policy' && answer.kind === 'content', below);
    return answer;
  };

  it('documents and alt=json are JSON, all else is text', () => {
    assert.equal(content('project/project-id').contentType, 'application/text');
    assert.equal(content('project/project-id?alt=json').contentType, 'application/json');
    assert.equal(content('project/').contentType, 'application/text');
    assert.equal(content('project/?recursive=true').contentType, 'application/json');
    assert.equal(content('project/?recursive=true&alt=text').contentType, 'application/text');
  });

  it('every answer has an ETag of 16 digits: equal for one value in every form, another for another value', () => {
    const { etag } = content('project/project-id');
    assert.match(etag, /^[0-9a-f]{16}$/);
    assert.equal(content('project/project-id?alt=json').etag, etag);
    assert.notEqual(content('instance/name').etag, etag);
    assert.equal(content('project/?recursive=true').etag, content('project/').etag);
  });

  it('an ETag does not tell of a change in what is concealed', () => {
    const { emulated } = subject().settings;
    const changed = { ...emulated, attributes: { ...emulated.attributes, 'kube-env': 'other' } };
    assert.deepEqual(
      ask(subject([], bound, { emulated: changed }), 'instance/?recursive=true'),
      content('instance/?recursive=true'),
    );
  });
});

describe('outside the tree', () => {
  const outside = (target: string) => answerOutsideTree(accepted(get(target)), hash);

  it('/ and /computeMetadata/ are listings, without the slash a redirect', () => {
    const root = outside('/');
    assert.ok(root?.kind === 'content');
    assert.deepEqual([root.body, root.body.length, root.contentType], ['computeMetadata/\n', 17, 'application/text']);
    const versions = outside('/computeMetadata/');
    assert.ok(versions?.kind === 'content');
    assert.equal(versions.body, 'v1/\n');
    assert.deepEqual(outside('/computeMetadata'), { kind: 'redirect', location: '/computeMetadata/' });
    assert.equal(outside('/computeMetadata/v1/'), undefined);
  });
});

it('a permit for a directory alone does not serve a value found there', () => {
  const asked = subject([cmdp('p', { profile: 'Restricted', reveal: ['instance/attributes/kube-env/x'] })]);
  assert.equal(bodyOf(asked, 'instance/attributes/kube-env'), 'concealed');
  assert.doesNotMatch(bodyOf(asked, 'instance/?recursive=true'), /kube-env/);
});

it('an attribute whose name no request could spell has no node', () => {
  const { emulated } = subject().settings;
  const attributes = { 'a\nb': 'x', 'a/b': 'x', '..': 'x', 'a b': 'x', __proto__x: 'y', good: 'z' };
  const asked = subject(privileged, bound, { emulated: { ...emulated, attributes } });
  assert.equal(
    bodyOf(asked, 'instance/attributes/'),
    '__proto__x\ncluster-location\ncluster-name\ncluster-uid\ngood\n',
  );
});
