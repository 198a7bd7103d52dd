/** The classes of attack that the product must withstand, each with the tests that show it does. */

/** Tests of one file. */
export interface Proof {
  readonly file: string;
  /** Suites, or tests as `suite > test`, as they are written in the file; absent: all that the file has. */
  readonly names?: readonly string[];
}

export interface AttackClass {
  readonly id: `T${string}`;
  readonly attack: string;
  /** Besides the files `test/security/tNN-….test.ts`, which belong to their class by their name. */
  readonly elsewhere: readonly Proof[];
  /** What a reader could expect here and is not there. */
  readonly note?: string;
}

export const attackClasses: readonly AttackClass[] = [
  { id: 'T01', attack: 'Path normalisation', elsewhere: [] },
  { id: 'T02', attack: 'Forms of the request target, other protocol versions', elsewhere: [] },
  { id: 'T03', attack: 'Reuse of connections, pipelining', elsewhere: [] },
  { id: 'T04', attack: 'Request smuggling', elsewhere: [] },
  { id: 'T05', attack: 'The required header: absent, empty, twice, another value', elsewhere: [] },
  { id: 'T06', attack: 'Forwarded requests', elsewhere: [] },
  {
    id: 'T07',
    attack: 'Recursion and listings that show concealed leaves',
    elsewhere: [
      { file: 'test/unit/core/tree/concealment.properties.test.ts' },
      { file: 'test/unit/proxy/passthrough.properties.test.ts' },
    ],
  },
  { id: 'T08', attack: 'Legacy APIs, unknown versions', elsewhere: [] },
  { id: 'T09', attack: 'Host header, DNS rebinding', elsewhere: [] },
  {
    id: 'T10',
    attack: 'Another pod’s source address: spoofed, reused, claimed twice',
    elsewhere: [
      { file: 'test/netns/redirect.test.ts', names: ['redirect > drops a source address that the sender cannot have'] },
      { file: 'test/unit/proxy/server.test.ts', names: ['identification'] },
      { file: 'test/unit/proxy/workloads.test.ts', names: ['index of a snapshot'] },
      { file: 'test/unit/controllers/lookup/workloads.test.ts' },
      {
        file: 'test/unit/nodeapi/files.test.ts',
        names: ['the last-good file > of before a reboot is as good as none: pods have other addresses since then'],
      },
    ],
    note: 'Pods on the host’s network are not told apart by cgroup in this version: they never get a pod’s identity. An address that the network gives to another pod before the API server says so is that of the pod before: see SECURITY.md.',
  },
  {
    id: 'T11',
    attack: 'The proxy reached from elsewhere than through the redirect',
    elsewhere: [
      {
        file: 'test/netns/redirect.test.ts',
        names: [
          "redirect > lets only the redirect and the host enter the proxy's port over ${family}",
          'redirect > refuses a connection to the proxy that another translation made, as a Service would',
        ],
      },
    ],
  },
  {
    id: 'T12',
    attack: 'Other routes to the server: IPv6, untracked packets, v4-mapped forms, direct egress',
    elsewhere: [
      {
        file: 'test/netns/redirect.test.ts',
        names: [
          "redirect > takes ${pod}'s request over ${family} to the proxy, which sees the pod's address",
          'redirect > closes what connection tracking was told to ignore',
          'redirect > closes a family in which the node has no address',
          'redirect > sends nothing of a pod to the cloud',
        ],
      },
      { file: 'test/unit/proxy/workloads.test.ts', names: ['canonical address'] },
      { file: 'test/unit/core/egress/plan.test.ts' },
    ],
    note: 'Ports of the address other than 80 are closed by `directEgress` only.',
  },
  {
    id: 'T13',
    attack: 'Windows that are open: crash, kill, update, restart, rules flushed by somebody else',
    elsewhere: [{ file: 'test/netns/life.test.ts' }, { file: 'test/netns/surge.test.ts' }],
    note: 'A reboot of the node is not rehearsed.',
  },
  {
    id: 'T14',
    attack: 'Exhaustion of connections, requests, memory, tokens, log',
    elsewhere: [
      { file: 'test/e2e/bundle/memory.test.ts' },
      { file: 'test/unit/proxy/listener.test.ts' },
      { file: 'test/unit/proxy/connections.test.ts' },
      { file: 'test/unit/proxy/rounds.test.ts' },
      {
        file: 'test/netns/redirect.test.ts',
        names: [
          'redirect > lets a pod open new connections at its rate: the rest comes later, and other pods do not notice',
        ],
      },
      { file: 'test/unit/proxy/denial-log.test.ts' },
      {
        file: 'test/unit/proxy/passthrough-limits.test.ts',
        names: ['a pod that asks too much', 'pods that ask too much together'],
      },
      { file: 'test/unit/nodeapi/authentication.test.ts', names: ['a flood'] },
      { file: 'test/unit/core/snapshot/policy-bounds.test.ts' },
      {
        file: 'test/unit/controllers/status-writes.test.ts',
        names: [
          'WrittenStatuses > writes what changes on and on as rarely as numbers, and at once again when it has calmed down',
        ],
      },
      {
        file: 'test/unit/controllers/proxies/instances.test.ts',
        names: ['the instances of the proxy > that say yes and no on and on make few writes; no is written at once'],
      },
    ],
  },
  { id: 'T15', attack: 'Cache poisoning', elsewhere: [] },
  {
    id: 'T16',
    attack: 'Confused deputy: ServiceAccounts, pods and nodes made anew under the same name',
    elsewhere: [
      {
        file: 'test/unit/nodeapi/minter.test.ts',
        names: ['how often > apart for ServiceAccounts of the same name, and for one that was made anew', 'revocation'],
      },
      {
        file: 'test/unit/controllers/lookup/workloads.test.ts',
        names: ['ClusterWorkloads.binding > is not another binding that came under the name'],
      },
      {
        file: 'test/unit/core/token/key.test.ts',
        names: ['token key text > has another owner for a recreated ServiceAccount of the same name'],
      },
      {
        file: 'test/unit/nodeapi/authentication.test.ts',
        names: ['a review > does not outlive a node that was replaced'],
      },
      {
        file: 'test/e2e/nodes/identity.test.ts',
        names: [
          "the credential of a node's proxy > is refused when its pod has ended or is gone, or its node was deleted or replaced",
          "the credential of a node's proxy > gets nothing any more for a pod that has ended or is gone",
        ],
      },
    ],
  },
  {
    id: 'T17',
    attack: 'A stolen node: the proxy’s own credential, the controller’s right to mint',
    elsewhere: [
      { file: 'test/unit/nodeapi/isolation.test.ts' },
      { file: 'test/e2e/nodes/identity.test.ts', names: ["the credential of a node's proxy", 'a pod of another node'] },
      {
        file: 'test/e2e/install/install.test.ts',
        names: ['who may do what > the proxy has no right that any other ServiceAccount does not have'],
      },
      { file: 'test/e2e/install/admission.test.ts', names: ['the controller is refused'] },
    ],
  },
  {
    id: 'T18',
    attack: 'Responses: redirects, errors, headers and tokens of upstream servers and of Google',
    elsewhere: [
      { file: 'test/unit/proxy/passthrough-limits.test.ts', names: ['a server that fails', 'what is at the address'] },
      { file: 'test/e2e/nodes/canaries.test.ts' },
      { file: 'test/unit/google/secrecy.test.ts' },
      { file: 'test/e2e/nodes/changes.test.ts', names: ['what is written > contains no token'] },
      { file: 'test/e2e/nodes/outage.test.ts', names: ['what is written > contains no token'] },
    ],
  },
  {
    id: 'T19',
    attack: 'Isolation of caches',
    elsewhere: [{ file: 'test/unit/core/token/key.test.ts' }, { file: 'test/unit/core/token/grants.test.ts' }],
  },
  {
    id: 'T20',
    attack: 'Names and values of hostile objects in logs, status, events and terminals',
    elsewhere: [{ file: 'test/unit/telemetry/log.test.ts' }],
  },
];
