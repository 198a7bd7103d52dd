/**
 * The metadata protocol as requests and the replies that a server must give: the checklist that emulators of Google's
 * server go by, and what its clients send. A row holds on every platform; where a VM has more than an emulated node,
 * `onGce` says what is different.
 */

export interface Expected {
  readonly status: number;
  /** The whole body. */
  readonly body?: string | RegExp;
  readonly type?: 'application/text' | 'application/json' | 'text/html' | 'text/plain; charset=utf-8';
  /** Below `http://HOST`. */
  readonly location?: string;
  /** Further headers by lower-case name; undefined: absent. */
  readonly headers?: Readonly<Record<string, string | RegExp | undefined>>;
}

export interface Row {
  readonly title: string;
  readonly target: string;
  readonly method?: string;
  /** Header lines; default: Host and Metadata-Flavor. */
  readonly lines?: readonly string[];
  readonly from?: 'bound' | 'unbound' | 'federated';
  readonly expected: Expected;
  readonly onGce?: Partial<Expected>;
}

export const v1 = '/computeMetadata/v1';
export const email = 'bound@test-project.iam.gserviceaccount.com';
const host = 'Host: metadata.google.internal';
const flavor = 'Metadata-Flavor: Google';
const accounts = `${v1}/instance/service-accounts`;
const scope = 'https://www.googleapis.com/auth/cloud-platform';

const text = (body: string | RegExp): Expected => ({
  status: 200,
  type: 'application/text',
  body,
  headers: { etag: /^[0-9a-f]{16}$/ },
});
const json = (body: string | RegExp): Expected => ({ ...text(body), type: 'application/json' });
const moved = (location: string): Expected => ({ status: 301, type: 'text/html', location, body: `${location}\n` });
const denied = (status: number, code: string, body: string | RegExp): Expected => ({
  status,
  type: 'text/plain; charset=utf-8',
  body,
  headers: { 'x-metaveil-code': code, 'x-content-type-options': 'nosniff', etag: undefined },
});
/** Credentials are no values: there is no ETag to wait on. */
const credential = (type: 'application/json' | 'application/text', body: RegExp): Expected => ({
  status: 200,
  type,
  body,
  headers: { etag: undefined },
});
const accessToken = credential(
  'application/json',
  /^\{"access_token":"[^"]+","expires_in":[1-9][0-9]*,"token_type":"Bearer"\}$/,
);
const identityToken = credential('application/text', /^[^\s"{]+$/);
const notFound = denied(404, 'not-found', 'Not Found\n');
const missingFlavor: Expected = {
  ...denied(403, 'missing-metadata-flavor', 'Missing required header "Metadata-Flavor": "Google"\n'),
  headers: { 'metadata-flavor': undefined, server: undefined, 'x-content-type-options': 'nosniff' },
};
const accountDocument = `{"aliases":["default"],"email":"${email}","scopes":["${scope}"]}`;

const row = (title: string, target: string, expected: Expected, more: Partial<Row> = {}): Row => ({
  title,
  target,
  expected,
  ...more,
});

const instanceEntries = 'attributes/\nhostname\nid\nname\nservice-accounts/\nzone\n';
const gceEntries = `attributes/\ncpu-platform\ndescription\nhostname\nid\nmachine-type\nname\nservice-accounts/\ntags\nzone\n`;

const directories: readonly Row[] = [
  row('the root, by which clients detect Google', '/', text('computeMetadata/\n')),
  row('the root without the header', '/', text('computeMetadata/\n'), { lines: [host] }),
  row('the root with another value of the header', '/', text('computeMetadata/\n'), {
    lines: [host, 'Metadata-Flavor: x'],
  }),
  row('the versions without a slash', '/computeMetadata', moved('/computeMetadata/')),
  row('the versions', '/computeMetadata/', text('v1/\n')),
  row('the tree without a slash', v1, moved(`${v1}/`)),
  row('the tree', `${v1}/`, text('instance/\nproject/\nuniverse/\n')),
  row('instance without a slash', `${v1}/instance`, moved(`${v1}/instance/`)),
  row('instance', `${v1}/instance/`, text(instanceEntries), { onGce: { body: gceEntries } }),
  row('project', `${v1}/project/`, text('attributes/\nnumeric-project-id\nproject-id\n')),
  row('attributes', `${v1}/instance/attributes/`, text('cluster-location\ncluster-name\ncluster-uid\n')),
  row('accounts without a slash', accounts, moved(`${accounts}/`)),
  row('accounts', `${accounts}/`, text(`${email}/\ndefault/\n`)),
  row('an account without a slash', `${accounts}/default`, moved(`${accounts}/default/`)),
  row('an account by e-mail without a slash', `${accounts}/${email}`, moved(`${accounts}/${email}/`)),
  row('an account', `${accounts}/default/`, text('aliases\nemail\nidentity\nscopes\ntoken\n')),
  row('an account by e-mail', `${accounts}/${email}/`, text('aliases\nemail\nidentity\nscopes\ntoken\n')),
  row('a redirect keeps the query', `${v1}/instance?recursive=true`, moved(`${v1}/instance/?recursive=true`)),
  row(
    'a redirect keeps all known keys',
    `${v1}/project?alt=json&recursive=true&x=y`,
    moved(`${v1}/project/?recursive=true&alt=json`),
  ),
  row('a value with a slash is none', `${v1}/project/project-id/`, notFound),
  row('an unknown entry', `${v1}/instance/nothing`, notFound),
  row('an unknown entry with a slash', `${v1}/instance/nothing/`, notFound),
  row('below a value', `${v1}/project/project-id/x`, notFound),
  row('an unknown version', '/computeMetadata/v2/', notFound),
  row('an unknown place', '/latest/meta-data/', notFound),
];

const values: readonly Row[] = [
  row('project id', `${v1}/project/project-id`, text('test-project')),
  row('project number', `${v1}/project/numeric-project-id`, text('123456789012')),
  row(
    'zone, with the number of the project',
    `${v1}/instance/zone`,
    text('projects/123456789012/zones/europe-west4-a'),
  ),
  row('instance id, beyond 2^53', `${v1}/instance/id`, text('9007199254740993123')),
  row('name', `${v1}/instance/name`, text('node-1')),
  row('hostname', `${v1}/instance/hostname`, text('node-1.europe-west4-a.c.test-project.internal')),
  row('cluster name', `${v1}/instance/attributes/cluster-name`, text('cluster')),
  row('cluster location', `${v1}/instance/attributes/cluster-location`, text('europe-west4')),
  row('cluster uid', `${v1}/instance/attributes/cluster-uid`, text('cluster-uid')),
  row('universe domain', `${v1}/universe/universe-domain`, text('googleapis.com')),
  row('a value as JSON', `${v1}/project/project-id?alt=json`, json('"test-project"')),
  row('a number as JSON, every digit of it', `${v1}/instance/id?alt=json`, json('9007199254740993123')),
  row('a value as text', `${v1}/project/project-id?alt=text`, text('test-project')),
  row('a value asked for recursively', `${v1}/project/project-id?recursive=true`, text('test-project')),
  row('unknown keys are ignored', `${v1}/project/project-id?transport=mtls&x=%ff&x=2&y`, text('test-project')),
];

const documents: readonly Row[] = [
  row('an account', `${accounts}/default/?recursive=true`, json(accountDocument)),
  row('an account by e-mail', `${accounts}/${email}/?recursive=true`, json(accountDocument)),
  row(
    'an account by e-mail, escaped',
    `${accounts}/${email.replace('@', '%40')}/?recursive=true`,
    json(accountDocument),
  ),
  row('accounts', `${accounts}/?recursive=true`, json(`{"${email}":${accountDocument},"default":${accountDocument}}`)),
  row(
    'project, keys in camelCase',
    `${v1}/project/?recursive=true`,
    json('{"attributes":{},"numericProjectId":123456789012,"projectId":"test-project"}'),
  ),
  row(
    'attributes, keys as they are',
    `${v1}/instance/attributes/?recursive=true`,
    json('{"cluster-location":"europe-west4","cluster-name":"cluster","cluster-uid":"cluster-uid"}'),
  ),
  row('True, as .NET writes it', `${v1}/universe/?recursive=True`, json('{"universeDomain":"googleapis.com"}')),
  row('false is not recursive', `${v1}/universe/?recursive=false`, text('universe-domain\n')),
  row('as JSON', `${v1}/universe/?recursive=true&alt=json`, json('{"universeDomain":"googleapis.com"}')),
  row('as text', `${v1}/universe/?recursive=true&alt=text`, text('universe-domain googleapis.com\n')),
  row(
    'accounts as text',
    `${accounts}/default/?alt=text&recursive=true`,
    text(`aliases default\nemail ${email}\nscopes ${scope}\n`),
  ),
  row(
    'the whole tree',
    `${v1}/?recursive=true`,
    json(/^\{"instance":\{"attributes":\{.*"serviceAccounts":\{.*"universe":\{"universeDomain":"googleapis.com"\}\}$/),
  ),
  row('a listing as text', `${v1}/project/?alt=text`, text('attributes/\nnumeric-project-id\nproject-id\n')),
  row('a listing as JSON', `${v1}/project/?alt=json`, json('["attributes/","numeric-project-id","project-id"]')),
];

const account: readonly Row[] = [
  row('aliases', `${accounts}/default/aliases`, text('default\n')),
  row('aliases by e-mail', `${accounts}/${email}/aliases`, text('default\n')),
  row('e-mail', `${accounts}/default/email`, text(email)),
  row('e-mail by e-mail', `${accounts}/${email}/email`, text(email)),
  row('e-mail as JSON', `${accounts}/default/email?alt=json`, json(`"${email}"`)),
  row('scopes, one per line', `${accounts}/default/scopes`, text(`${scope}\n`)),
  row('scopes by e-mail', `${accounts}/${email}/scopes`, text(`${scope}\n`)),
  row('scopes as JSON', `${accounts}/default/scopes?alt=json`, json(`["${scope}"]`)),
  row('token', `${accounts}/default/token`, accessToken),
  row('token by e-mail', `${accounts}/${email}/token`, accessToken),
  row('token by e-mail, escaped', `${accounts}/${email.replace('@', '%40')}/token`, accessToken),
  row('token with scopes as Java and Node send them', `${accounts}/default/token?scopes=${scope}`, accessToken),
  row(
    'token with scopes as Python and Go send them',
    `${accounts}/default/token?scopes=${encodeURIComponent(`${scope},openid`)}`,
    accessToken,
  ),
  row(
    'token with a scope named twice, as gcloud does',
    `${accounts}/default/token?scopes=openid,${scope},openid`,
    accessToken,
  ),
  row('token with a key of mutual TLS', `${accounts}/default/token?binding-enforcement=on&transport=alts`, accessToken),
  row(
    'identity as Node asks, audience raw',
    `${accounts}/default/identity?format=full&audience=https://a.example/b`,
    identityToken,
  ),
  row(
    'identity as Python asks',
    `${accounts}/default/identity?audience=https%3A%2F%2Fa.example&format=full`,
    identityToken,
  ),
  row(
    'identity as gcloud asks',
    `${accounts}/default/identity?audience=32555940559.apps.googleusercontent.com&format=standard&licenses=FALSE`,
    identityToken,
  ),
  row('identity by e-mail', `${accounts}/${email}/identity?audience=a`, identityToken),
  row(
    'identity without an audience',
    `${accounts}/default/identity`,
    denied(400, 'audience-required', 'non-empty audience parameter required\n'),
  ),
  row(
    'identity with an empty audience',
    `${accounts}/default/identity?audience=&format=full`,
    denied(400, 'audience-required', 'non-empty audience parameter required\n'),
  ),
  row(
    'identity of a pod without a Google account',
    `${accounts}/default/identity?audience=a`,
    denied(404, 'no-identity-tokens', /set access: Impersonate in WorkloadIdentityBinding/),
    { from: 'federated' },
  ),
  row('a token with a slash is none', `${accounts}/default/token/`, notFound),
  row('another account', `${accounts}/other@test-project.iam.gserviceaccount.com/token`, notFound),
  row('another account as a directory', `${accounts}/other/`, notFound),
];

const unbound: readonly Row[] = [
  row('the listing is there, and empty', `${accounts}/`, text(''), { from: 'unbound' }),
  row('its document too', `${accounts}/?recursive=true`, json('{}'), { from: 'unbound' }),
  ...['default/', 'default/token', 'default/email', 'default/identity?audience=a', `${email}/token`].map((below) =>
    row(
      `${below}: 404, and what to do`,
      `${accounts}/${below}`,
      denied(
        404,
        'no-service-account',
        /^This metadata endpoint is concealed\.\n.*create a WorkloadIdentityBinding named unbound in namespace team\.\n$/,
      ),
      { from: 'unbound' },
    ),
  ),
  row('other values are there', `${v1}/project/project-id`, text('test-project'), { from: 'unbound' }),
];

const refusals: readonly Row[] = [
  row('without the header', `${v1}/project/project-id`, missingFlavor, { lines: [host] }),
  row('with another value of the header', `${v1}/project/project-id`, missingFlavor, {
    lines: [host, 'Metadata-Flavor: google'],
  }),
  row('with the header of the first clients', `${v1}/project/project-id`, missingFlavor, {
    lines: [host, 'X-Google-Metadata-Request: True'],
  }),
  row('a directory without the header', `${v1}/`, missingFlavor, { lines: [host] }),
  row('nothing without the header', '/nothing', missingFlavor, { lines: [host] }),
  row(
    'forwarded',
    `${v1}/project/project-id`,
    denied(403, 'forwarded-request', 'Forwarded requests are not allowed by the metadata server.'),
    { lines: [host, flavor, 'X-Forwarded-For: 10.0.0.1'] },
  ),
  row(
    'forwarded, at the root',
    '/',
    denied(403, 'forwarded-request', 'Forwarded requests are not allowed by the metadata server.'),
    { lines: [host, flavor, 'X-Forwarded-For: 10.0.0.1'] },
  ),
  row(
    'concealed',
    `${v1}/instance/attributes/kube-env`,
    denied(403, 'concealed', 'This metadata endpoint is concealed.'),
  ),
  row(
    'concealed as a directory',
    `${v1}/instance/guest-attributes/`,
    denied(403, 'concealed', 'This metadata endpoint is concealed.'),
  ),
  row(
    'legacy',
    '/computeMetadata/v1beta1/instance/id',
    denied(
      403,
      'legacy',
      'Legacy metadata endpoint accessed: /computeMetadata/v1beta1/instance/id\nLegacy metadata endpoints are disabled. Please use the /v1/ endpoint.',
    ),
    { lines: [host] },
  ),
  row(
    'legacy, the oldest',
    '/0.1/meta-data/',
    denied(
      403,
      'legacy',
      'Legacy metadata endpoint accessed: /0.1/meta-data/\nLegacy metadata endpoints are disabled. Please use the /v1/ endpoint.',
    ),
  ),
  ...['alt=bogus', 'alt=', 'alt=JSON', 'recursive=1', 'timeout_sec=-1', 'timeout_sec=x', 'wait_for_change=yes'].map(
    (query) =>
      row(
        `improper: ${query}`,
        `${v1}/?${query}`,
        denied(400, 'invalid-parameter', 'A query parameter has an invalid value.'),
      ),
  ),
  row(
    'improper: a key twice',
    `${v1}/?alt=json&alt=text`,
    denied(400, 'duplicate-parameter', 'A query parameter is given more than once.'),
  ),
  ...['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'].map((method) =>
    row(
      method,
      `${v1}/instance/guest-attributes/a/b`,
      { ...denied(405, 'method-not-allowed', 'Only GET and HEAD are allowed.'), headers: { allow: 'GET, HEAD' } },
      { method, lines: [host, flavor] },
    ),
  ),
];

const clients: readonly Row[] = [
  row('Go detects', '/', text('computeMetadata/\n'), {
    lines: ['Host: 169.254.169.254', 'User-Agent: Go-http-client/1.1', 'Accept-Encoding: gzip'],
  }),
  row('Python detects', '/', text('computeMetadata/\n'), {
    lines: [
      'Host: 169.254.169.254',
      'metadata-flavor: Google',
      'x-goog-api-client: gl-python/3.13 auth/2.62.2 auth-request-type/mds',
    ],
  }),
  row('Node detects, by a name with a final dot', `${v1}/instance`, moved(`${v1}/instance/`), {
    lines: ['Host: metadata.google.internal.', flavor],
  }),
  row('gcloud detects', `${v1}/project/numeric-project-id`, text(/^[0-9]+$/), {
    lines: [host, flavor, 'Accept-Encoding: identity', 'Connection: close', 'User-Agent: Python-urllib/3.13'],
  }),
  row('by the short name', `${v1}/project/project-id`, text('test-project'), { lines: ['Host: metadata', flavor] }),
  row('by the IPv6 address', `${v1}/project/project-id`, text('test-project'), {
    lines: ['Host: [fd20:ce::254]:80', flavor],
  }),
  row('through a service mesh', `${v1}/project/project-id`, text('test-project'), {
    lines: [host, flavor, 'X-Forwarded-Proto: http', 'X-Request-Id: 1'],
  }),
  row(
    "the guest agent's first question",
    `${v1}/universe/?alt=json&last_etag=NONE&recursive=true&timeout_sec=60&wait_for_change=true`,
    json('{"universeDomain":"googleapis.com"}'),
  ),
];

export const groups: Readonly<Record<string, readonly Row[]>> = {
  directories,
  values,
  documents,
  'the own account': account,
  'a pod without an account': unbound,
  refusals,
  'what clients send': clients,
};
