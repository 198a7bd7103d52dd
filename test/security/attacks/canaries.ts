import type { Proof } from './classes.ts';

/** Where marked secrets are planted, where they are looked for, and which tests do it. */
export interface CanaryRow {
  readonly planted: string;
  readonly sinks: string;
  readonly proof: Proof;
}

export const canaryRows: readonly CanaryRow[] = [
  {
    planted:
      'the API server’s TokenRequest and projected tokens; STS, `generateAccessToken` and `generateIdToken`, in success and in error bodies; the node’s token, identity, kube-env, ssh keys, start-up script and error bodies',
    sinks: 'log lines of all processes, metrics, events, status of every kind, files of the proxy, bodies of refusals',
    proof: { file: 'test/e2e/nodes/canaries.test.ts' },
  },
  {
    planted: 'every reply of an upstream server, headers and trailers too; errors of our own parts',
    sinks: 'replies to pods, log lines',
    proof: { file: 'test/security/t18-responses.test.ts' },
  },
  {
    planted: 'replies of STS and IAM Credentials, echoes of the Kubernetes token among them',
    sinks: 'every property of the errors, standard error with the libraries’ debug log on',
    proof: { file: 'test/unit/google/secrecy.test.ts' },
  },
  {
    planted: 'all secrets of a VM and all tokens of pods',
    sinks: 'log lines and denials of each exchange of the suites T01 to T20',
    proof: { file: 'test/security/harness.test.ts' },
  },
];
