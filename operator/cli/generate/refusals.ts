/** Every refusal of the metadata server and every limit that leads to one, from the tables that the proxy goes by. */
import { codeHeader, deny, denials, type DenialCode } from '../../core/request/denials.ts';
import { requestLimits } from '../../core/request/limits.ts';
import { newConnections } from '../../core/redirect/table.ts';
import { maxAudienceLength, maxScopeLength, maxScopes } from '../../core/token/grants.ts';
import { logBurst, logRefillMs } from '../../proxy/denial-log.ts';
import { defaultLimits } from '../../proxy/listener.ts';
import { maxOtherTokens, otherFetches } from '../../proxy/owner-tokens.ts';
import { asksAtOnce, asksPerPod, holdMs, pollMs, waitsPerPod } from '../../proxy/passthrough.ts';
import type { GeneratedFile } from './file.ts';
import { table } from './table.ts';

type Row = readonly [what: string, limit: string, beyond: string];

const count = (value: number) => value.toLocaleString('en-US');
const bytes = (value: number) => (value < 1_024 ? `${value} bytes` : inKiB(value / 1_024));
const inKiB = (value: number) => (value < 1_024 ? `${value} KiB` : `${value / 1_024} MiB`);
const seconds = (value: number) => `${value / 1_000} s`;
const refused = (code: DenialCode) => `\`${code}\``;

const ofRequests: readonly Row[] = [
  ['Path and query', bytes(requestLimits.targetBytes), refused('target-too-long')],
  ['Path', bytes(requestLimits.pathBytes), refused('target-too-long')],
  ['Segments of the path', count(requestLimits.segments), refused('malformed-path')],
  [
    'Headers',
    `${count(requestLimits.headers)}, together ${bytes(requestLimits.headerBytes)}`,
    refused('headers-too-large'),
  ],
  ['`Host`', bytes(requestLimits.hostBytes), refused('host-not-allowed')],
  ['Query parameters', count(requestLimits.queryParameters), refused('malformed-query')],
  ['`scopes`', `${count(maxScopes)}, each ${bytes(maxScopeLength)}`, refused('invalid-parameter')],
  ['`audience`', bytes(maxAudienceLength), refused('invalid-parameter')],
  ['`last_etag`', bytes(requestLimits.etagBytes), refused('invalid-parameter')],
  ['Time until all headers are there', seconds(defaultLimits.headersTimeoutMs), 'the connection is cut'],
];

const ofPods: readonly Row[] = [
  [
    'New connections, where the kernel redirects',
    `${count(newConnections.burst)}, then ${count(newConnections.perSecond)} in 1 s`,
    "dropped before it is opened: the pod's kernel tries again after 1 s",
  ],
  ['Connections', count(defaultLimits.connectionsPerPod), `${refused('too-many-requests')}, on the new one`],
  ['Requests that wait for their answer', count(defaultLimits.requestsPerPod), refused('too-many-requests')],
  ["Requests in one round of the proxy's event loop", count(defaultLimits.requestsPerRound), 'other pods come first'],
  ['Replies that are not read', bytes(defaultLimits.unreadBytesPerPod), refused('too-many-requests')],
  [
    'Requests of one connection whose replies are not read',
    count(defaultLimits.pipelinedRequests),
    'the connection is cut',
  ],
  ['Requests of one connection', count(defaultLimits.requestsPerConnection), 'the connection ends with the last reply'],
  ['Unused connection', seconds(defaultLimits.keepAliveTimeoutMs), 'the connection ends'],
  [
    "Questions to the node's server at a time",
    count(asksPerPod),
    `they wait for their turn; after ${seconds(holdMs)} ${refused('too-many-requests')}`,
  ],
  [
    "Waits for changes at the node's server",
    count(waitsPerPod),
    `for further ones it is asked every ${seconds(pollMs)}`,
  ],
  [
    'Other scopes and audiences of a ServiceAccount: tokens kept',
    count(maxOtherTokens),
    'the one used longest ago is dropped',
  ],
  [
    'The same: tokens fetched',
    `${count(otherFetches.burst)}, then one in ${seconds(otherFetches.refillMs)}; ${count(otherFetches.together)} together`,
    `${refused('too-many-requests')}; the usual token is not held back`,
  ],
  [
    'Lines of the log',
    `${count(logBurst)}, then one in ${seconds(logRefillMs)}`,
    'the next line says how many were left out',
  ],
];

const limits = ['What', 'At most', 'Beyond it'];

export function refusalsFile(): GeneratedFile {
  const sections = [
    '<!-- Written by `npm run generate` from operator/core/request and operator/proxy. Do not edit. -->',
    '# Refusals and limits',
    `Every refusal of the metadata server has its code in the header \`${codeHeader}\` and in its line of the proxy's log, event \`request-denied\`, with the pod and, where a policy decided, the trace. (\`internal\` is the event \`request-failed\`, and one connection too many \`connection-refused\`.) Codes and statuses are stable; texts are for people. Refusals with status 429 and 503 have \`Retry-After\`.`,
    table(['Code', 'Status', 'Text', 'Connection'], Object.keys(denials).map(refusalRow)),
    "A refusal may say more than its fixed text: which binding to create, which scope is not allowed, what Google answered. `google-refused` has the status 403 or 404, and `upstream-refused` that of the node's server.",
    '## Limits of a request',
    table(limits, ofRequests),
    '## Limits of a pod',
    `A pod is its source address. All pods of a node together have ${count(defaultLimits.connections)} connections, ${bytes(defaultLimits.unreadBytes)} of replies that are not read, and ${count(asksAtOnce)} questions to the node's server at a time. However much others have, a pod can have ${count(defaultLimits.fewConnections)} connections, a reply and a question.`,
    table(limits, ofPods),
  ];
  return { path: 'docs/reference/refusals.md', text: `${sections.join('\n\n')}\n` };
}

function refusalRow(code: string): readonly string[] {
  const { status, body, close } = deny(code as DenialCode);
  return [`\`${code}\``, String(status), body.trim(), close ? 'ends' : ''];
}
