import { V1MicroTime } from '@kubernetes/client-node';
import type { Lease, LeaseSpec } from 'kubernetes-types/coordination/v1.js';
import { unlessNotFound, type KubeClient } from './client.ts';
import { isRecord, recordAt, textAt } from './project/raw.ts';
import { collectionPath, objectPath, type ResourceType } from './resource.ts';

/** What a coordination.k8s.io Lease says. */
export interface LeaseRecord {
  /** '' when released. */
  readonly holder: string;
  readonly durationSeconds: number;
  /** How often the holder has changed. */
  readonly transitions: number;
  /** Wall-clock times of the holder's machine, ms since the epoch; compared for change only. */
  readonly acquiredAt: number;
  readonly renewedAt: number;
}

/** A record with the version of it that a write replaces. */
export interface StoredLease {
  readonly record: LeaseRecord;
  readonly resourceVersion: string;
}

/** Throws kubernetes-conflict when somebody else wrote meanwhile. */
export interface LeaseStore {
  read(): Promise<StoredLease | undefined>;
  create(record: LeaseRecord): Promise<void>;
  replace(previous: StoredLease, record: LeaseRecord): Promise<void>;
}

const leases: ResourceType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
};

/** One attempt each, out of turn: the elector itself repeats, and must never stand behind other calls. */
const out = { lane: 'standing', deadlineMs: 3_000 } as const;

/** The Lease `namespace`/`name` of a cluster. */
export function kubeLeaseStore(client: KubeClient, namespace: string, name: string): LeaseStore {
  const path = objectPath(leases, { namespace, name });
  const bodyOf = (record: LeaseRecord, resourceVersion?: string): Lease => ({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { namespace, name, ...(resourceVersion !== undefined && { resourceVersion }) },
    spec: specOf(record),
  });
  return {
    async read() {
      const lease = await unlessNotFound(client.request({ ...out, method: 'GET', path }));
      return isRecord(lease)
        ? {
            record: recordOf(recordAt(lease, 'spec')),
            resourceVersion: textAt(recordAt(lease, 'metadata'), 'resourceVersion'),
          }
        : undefined;
    },
    async create(record) {
      await client.request({ ...out, method: 'POST', path: collectionPath(leases, namespace), body: bodyOf(record) });
    },
    async replace(previous, record) {
      await client.request({ ...out, method: 'PUT', path, body: bodyOf(record, previous.resourceVersion) });
    },
  };
}

/** A Lease has times in microseconds: the API server refuses Date's milliseconds. */
function specOf(record: LeaseRecord): LeaseSpec {
  return {
    holderIdentity: record.holder,
    leaseDurationSeconds: record.durationSeconds,
    leaseTransitions: record.transitions,
    acquireTime: new V1MicroTime(record.acquiredAt).toISOString(),
    renewTime: new V1MicroTime(record.renewedAt).toISOString(),
  };
}

function recordOf(spec: Readonly<Record<string, unknown>>): LeaseRecord {
  return {
    holder: textAt(spec, 'holderIdentity'),
    durationSeconds: numberAt(spec, 'leaseDurationSeconds'),
    transitions: numberAt(spec, 'leaseTransitions'),
    acquiredAt: timeAt(spec, 'acquireTime'),
    renewedAt: timeAt(spec, 'renewTime'),
  };
}

function numberAt(spec: Readonly<Record<string, unknown>>, field: string): number {
  const value = spec[field];
  return typeof value === 'number' ? value : 0;
}

function timeAt(spec: Readonly<Record<string, unknown>>, field: string): number {
  const at = Date.parse(textAt(spec, field));
  return Number.isNaN(at) ? 0 : at;
}
