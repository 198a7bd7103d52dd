import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { resourceLines } from '../../../operator/cli/run/report.ts';
import { binding, clusterMetadataPolicy, condition, metadataPolicy } from '../../builders/objects.ts';

describe('what metaveil run shows of the resources', () => {
  it('is whether they are ready, and what policies did to requests so far', () => {
    const conditions = [condition({ type: 'Ready', status: 'True', reason: 'Ready' })];
    const lines = resourceLines([
      binding({ status: { conditions } }),
      metadataPolicy({ status: { conditions, concealed: 3, wouldConceal: 0, legacy: 1 } }),
      metadataPolicy({ name: 'quiet', status: { conditions, concealed: 0, wouldConceal: 0, legacy: 0 } }),
      clusterMetadataPolicy({ status: { wouldConceal: 2 } }),
    ]);
    assert.deepEqual(lines, [
      'KIND                     NAME       READY    REASON   COUNTED',
      'WorkloadIdentityBinding  web/api    True     Ready',
      'MetadataPolicy           web/tight  True     Ready    3 concealed, 1 legacy',
      'MetadataPolicy           web/quiet  True     Ready',
      'ClusterMetadataPolicy    platform   Unknown  Pending  2 would be concealed',
    ]);
  });
});
