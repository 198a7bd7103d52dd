import { join } from 'node:path';

/** Where one cluster's parts are: its folder, its loopback ports, its components' bearer tokens. */
export interface Layout {
  readonly folder: string;
  readonly issuer: string;
  readonly etcdPort: number;
  readonly etcdPeerPort: number;
  readonly apiPort: number;
  readonly adminToken: string;
  readonly controllerManagerToken: string;
  readonly schedulerToken: string;
}

export function etcdArgs(layout: Layout): string[] {
  const client = `http://127.0.0.1:${layout.etcdPort}`;
  const peer = `http://127.0.0.1:${layout.etcdPeerPort}`;
  return [
    '--name=test',
    `--data-dir=${join(layout.folder, 'etcd')}`,
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=test=${peer}`,
    // Nothing here has to survive the machine.
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

export function apiServerArgs(layout: Layout): string[] {
  const { folder } = layout;
  return [
    `--etcd-servers=http://127.0.0.1:${layout.etcdPort}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    // A loopback address is not allowed in Endpoints, and no pod looks for the API server here.
    '--endpoint-reconciler-type=none',
    `--secure-port=${layout.apiPort}`,
    // The server makes itself a certificate and the authority that signed it: apiserver.crt, apiserver.key.
    `--cert-dir=${folder}`,
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    `--service-account-issuer=${layout.issuer}`,
    `--service-account-signing-key-file=${join(folder, 'service-account.key')}`,
    `--service-account-key-file=${join(folder, 'service-account.pub')}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    '--profiling=false',
  ];
}

/**
 * The controllers that tests meet. Not among them: node-lifecycle and taint-eviction, because no kubelet renews
 * the nodes' leases, and all that deals with volumes, cloud routes and certificates.
 */
const CONTROLLERS = [
  'serviceaccount-controller',
  'serviceaccount-token-controller',
  'root-ca-certificate-publisher-controller',
  'namespace-controller',
  'garbage-collector-controller',
  'pod-garbage-collector-controller',
  'daemonset-controller',
  'deployment-controller',
  'replicaset-controller',
  'statefulset-controller',
  'job-controller',
  'cronjob-controller',
  'ttl-after-finished-controller',
  'disruption-controller',
  'endpointslice-controller',
  'endpoints-controller',
  'clusterrole-aggregation-controller',
  'validatingadmissionpolicy-status-controller',
];

export function controllerManagerArgs(layout: Layout): string[] {
  const config = join(layout.folder, 'controller-manager.kubeconfig');
  return [
    `--kubeconfig=${config}`,
    `--controllers=${CONTROLLERS.join(',')}`,
    '--use-service-account-credentials=true',
    `--service-account-private-key-file=${join(layout.folder, 'service-account.key')}`,
    `--root-ca-file=${join(layout.folder, 'ca.crt')}`,
    '--leader-elect=false',
    // It serves nothing that tests ask for.
    '--secure-port=0',
    // The defaults are made for a shared API server and would let bursts of test objects wait for seconds.
    '--kube-api-qps=500',
    '--kube-api-burst=1000',
  ];
}

export function schedulerArgs(layout: Layout): string[] {
  return [
    `--kubeconfig=${join(layout.folder, 'scheduler.kubeconfig')}`,
    '--leader-elect=false',
    '--secure-port=0',
    '--kube-api-qps=500',
    '--kube-api-burst=1000',
  ];
}
