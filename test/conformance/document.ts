/** docs/conformance.md from a matrix that passed: nothing in it changes from run to run. */
import { format, resolveConfig } from 'prettier';
import { addressings, states, type Addressing, type Cell, type Row, type State } from './matrix.ts';
import { identities, type Identity } from './stage.ts';

const stateTitles: Readonly<Record<State, string>> = {
  cold: 'cold',
  warm: 'warm',
  restarted: 'proxy restarted',
  outage: '503, then fine',
};

const identityTitles: Readonly<Record<Identity, string>> = {
  bound: 'bound',
  federated: 'federated only',
  unbound: 'unbound',
};

const addressingTitles: Partial<Record<Addressing, string>> = { variables: 'only the variables' };

/** As `prettier` would leave it. `path`: where it is to stand, for its settings. */
export async function conformanceDocument(rows: readonly Row[], path: string): Promise<string> {
  const text = [
    head,
    table(['client', 'versions', 'asked for'], rows.map(clientRow)),
    statesText,
    ...identities.map((identity) => statesOf(identity, rows)),
    addressingsText,
    table(
      ['client', ...keysOf(addressings).map((each) => addressingTitles[each] ?? `\`${each}\``)],
      rows.map((row) => [row.client.name, ...keysOf(addressings).map((each) => mark(row.addressings.get(each)))]),
    ),
    refusalsText,
    ...rows.map(({ client, refusal }) => `**${client.name}**\n\n\`\`\`text\n${stable(refusal)}\n\`\`\``),
    verificationText,
  ].join('\n\n');
  return format(text, { ...(await resolveConfig(path)), filepath: path });
}

const head = `# Conformance

Unmodified clients of Google's, each in a pod of its own network namespace, against the real proxy and the kernel's
redirection. Google's STS, IAM Credentials and Cloud Storage are emulated, and so is the metadata server of the node.
A test makes this page and fails when a client is missing or when a cell would be another one:

\`\`\`
npm test -- test/conformance/matrix.test.ts   # what CI runs
npm run conformance                           # the same, and writes this page
\`\`\`

A client gets no configuration: its library finds the metadata server by itself. Python's, Go's and Java's versions are
pinned in \`test/conformance/clients\`, Node's in \`package-lock.json\`; curl and gcloud are the system's.`;

const statesText = `## Each kind of pod, in each state

- **bound**: a WorkloadIdentityBinding with \`access: Impersonate\`. The access token and the one that Cloud Storage gets
  speak for the bound service account, and were obtained by the pod's own principal; the identity token verifies
  against Google's keys and has the audience that was asked for.
- **federated only**: \`access: Direct\`. The same with the federated principal itself; an identity token is refused.
- **unbound**: no binding, \`unboundWorkloads: Deny\`. Detection, project and zone work. Whatever needs a credential fails with
  the client's own error, and nothing with a token reaches Cloud Storage.

One process of the client goes through all states:

- **cold**: the proxy has just begun to listen, and no token is cached anywhere.
- **warm**: everything is asked again of new credential objects, and Google is asked for nothing.
- **proxy restarted**: between two requests the proxy is killed and started again; connections that the client had kept
  are gone.
- **503, then fine**: Google's STS answers 503 until 0.4 s after the client's request has met it; for the unbound pod the
  node's metadata server does. What is asked for is cached nowhere: an identity token, an access token with other
  scopes, the project.

Every state is tried with the addressing that the library chooses. ✔: everything the client was asked for was as it
must be.`;

const addressingsText = `## Each way to the server

In a bound pod, on a warm proxy, in a new process: detection, project and access token. \`GCE_METADATA_HOST\`,
\`GCE_METADATA_IP\` and \`GCE_METADATA_ROOT\` have the value in the column's head; with *as it likes* none is set. *Only the
variables*: they lead to the proxy's port on the node, nothing is redirected, and a request to the address would be seen
at the node's own server: there is none.`;

const refusalsText = `## What an unbound pod is told

The error of each client when it is asked for an access token in the unbound pod.`;

const verificationText = `## GKE's verification of metadata concealment

\`test/conformance/gke-verification.test.ts\` goes through the steps that GKE's documentation has for it: a new pod, the
host name \`metadata\`, kube-env, the identity with an audience, a legacy endpoint. The documented sentences come back, by
default and with \`gke-secure\` of \`samples/51-gke-workload-metadata.yaml\` and \`legacyEndpoints: Deny\`.`;

function clientRow({ client, versions }: Row): readonly string[] {
  const known = Object.entries(versions).map(([library, version]) => `${library} ${version}`);
  return [client.name, known.join('<br>'), client.operations.join(', ')];
}

function statesOf(identity: Identity, rows: readonly Row[]): string {
  return table(
    [identityTitles[identity], ...states.map((state) => stateTitles[state])],
    rows.map((row) => [row.client.name, ...states.map((state) => mark(row.states.get(`${identity}/${state}`)))]),
  );
}

function mark(cell: Cell | undefined): string {
  if (cell === undefined) return 'not run';
  return cell.problems.length === 0 ? '✔' : '✘';
}

/** The first paragraph; addresses of objects and names of temporary folders are others in every run. */
function stable(error: string): string {
  const [first = ''] = error.trim().split('\n\n');
  return first.replaceAll(/0x[0-9a-f]{6,}/gu, '0x…').replaceAll(/\/tmp\/\S+/gu, '/tmp/…');
}

function table(head_: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head_, head_.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function keysOf<Key extends string>(record: Readonly<Record<Key, unknown>>): readonly Key[] {
  return Object.keys(record) as Key[];
}
