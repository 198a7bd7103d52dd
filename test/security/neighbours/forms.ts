/** The ways of one pod to abuse the metadata server, as data: the abuser carries them out, the test judges each. */
import { harmless, kubeEnv, token, v1 } from '../harness.ts';
import { get } from '../requests.ts';

export interface Form {
  readonly what: string;
  /** Sent on each new connection. */
  readonly bytes: string;
  /** New connections in 10 ms, besides the first ones. Default: few, because what they hold counts. */
  readonly pace?: number;
  /** Whether it reads what it is sent; default true. */
  readonly reads?: boolean;
  /** Sent for each reply that it has read, so that the connection never rests. */
  readonly again?: string;
  /** Takes the machine from everybody, wherever it goes. */
  readonly flood?: true;
}

const many = 20;
const manyTokens = get(token).repeat(2_000);
const asked = `${v1}/instance/zone`;
const document = `${v1}/instance/?recursive=true`;

export const forms: readonly Form[] = [
  { what: 'idle connections, as many as it can', bytes: '' },
  { what: 'headers without end', bytes: `GET ${harmless} HTTP/1.1\r\nX-A: ` },
  { what: 'questions to an upstream that hangs', bytes: get(harmless) },
  { what: 'tokens that never come', bytes: get(`${token}?scopes=hang`) },
  {
    what: 'waits for changes',
    bytes: get(`${v1}/instance/service-accounts/?wait_for_change=true`),
  },
  { what: 'requests in a row whose replies it does not read', bytes: manyTokens, reads: false },
  ...[
    { what: 'a flood of denials on new connections', bytes: get(kubeEnv, 'Connection: close'), pace: many },
    { what: 'a flood of requests in a row on new connections', bytes: manyTokens, pace: many },
    { what: 'a flood of requests on connections that it keeps', bytes: get(token).repeat(4), ...keeping(token) },
    { what: 'a flood of denials on connections that it keeps', bytes: get(kubeEnv).repeat(4), ...keeping(kubeEnv) },
    { what: "a flood of questions to the node's server", bytes: get(asked).repeat(4), ...keeping(asked) },
    { what: "a flood of documents of the node's server", bytes: get(document), ...keeping(document) },
  ].map((form) => ({ ...form, flood: true as const })),
];

/** No new connections: the proxy would serve those first. */
function keeping(target: string): Pick<Form, 'again' | 'pace'> {
  return { again: get(target), pace: 0 };
}
