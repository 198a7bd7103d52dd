import { attributes, directory, list, number, text, type Directory } from './tree.ts';

/** A VM as its metadata server describes it. Each value can be set; the defaults are a node of a test project. */
export interface GceInstance {
  readonly projectId: string;
  readonly numericProjectId: string;
  readonly id: string;
  readonly name: string;
  /** Short name, for example `europe-west4-a`. */
  readonly zone: string;
  readonly email: string;
  readonly scopes: readonly string[];
  readonly attributes: Readonly<Record<string, string>>;
  readonly projectAttributes: Readonly<Record<string, string>>;
  /** What `token` and `identity` give; never part of a listing. */
  readonly accessToken: string;
  readonly identityToken: string;
}

/** In every secret value of the default instance: whoever finds it in an answer has found a leak. */
export const leakCanary = 'metaveil-leak-canary';

export const defaultInstance: GceInstance = {
  projectId: 'my-project',
  numericProjectId: '123456789012',
  id: '4520031799277581759',
  name: 'node-1',
  zone: 'europe-west4-a',
  email: '123456789012-compute@developer.gserviceaccount.com',
  scopes: ['https://www.googleapis.com/auth/cloud-platform'],
  attributes: {
    'cluster-name': 'prod',
    'cluster-location': 'europe-west4',
    'cluster-uid': 'c7f2d6b0a1e94d15',
    'kube-env': `KUBELET_CERT: ${leakCanary}-kubelet-cert\nKUBELET_KEY: ${leakCanary}-kubelet-key\n`,
    'user-data': `#cloud-config\n# ${leakCanary}-user-data\n`,
    'startup-script': `#!/bin/sh\n# ${leakCanary}-startup-script\n`,
    'ssh-keys': `admin:ssh-ed25519 ${leakCanary}-instance-ssh-key`,
  },
  projectAttributes: { 'ssh-keys': `admin:ssh-ed25519 ${leakCanary}-project-ssh-key` },
  accessToken: `ya29.c.${leakCanary}-access-token`,
  identityToken: `eyJhbGciOiJSUzI1NiJ9.${leakCanary}-identity.token`,
};

/** The tree under `/computeMetadata/v1/`. */
export function treeOf(instance: GceInstance): Directory {
  const account = directory({
    aliases: list(['default']),
    email: text(instance.email),
    scopes: list(instance.scopes),
  });
  const { numericProjectId, zone } = instance;
  return directory({
    instance: directory({
      attributes: attributes(instance.attributes),
      'cpu-platform': text('AMD Rome'),
      description: text(''),
      'gce-workload-certificates': directory({
        'workload-identities': text(`{"key":"${leakCanary}-workload-certificate"}`),
      }),
      hostname: text(`${instance.name}.${zone}.c.${instance.projectId}.internal`),
      id: number(instance.id),
      'machine-type': text(`projects/${numericProjectId}/machineTypes/n2d-standard-4`),
      name: text(instance.name),
      'service-accounts': directory({ default: account, [instance.email]: account }, { ownKeys: false }),
      tags: list(['node']),
      zone: text(`projects/${numericProjectId}/zones/${zone}`),
    }),
    project: directory({
      attributes: attributes(instance.projectAttributes),
      'numeric-project-id': number(numericProjectId),
      'project-id': text(instance.projectId),
    }),
    universe: directory({ 'universe-domain': text('googleapis.com') }),
  });
}
