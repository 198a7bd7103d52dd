/**
 * How GKE's documentation lets its users verify metadata concealment: a new pod, the host name `metadata`, kube-env, the
 * identity with an audience, a legacy endpoint. The same steps bring the documented sentences, by our default and with
 * the policy that is what GKE's `--workload-metadata-from-node=SECURE` was.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import type { ClusterMetadataPolicy } from '../../operator/api/v1/index.ts';
import { leakCanary } from '../../operator/local/gce/instance.ts';
import { clusterMetadataPolicy } from '../builders/objects.ts';
import { ConformanceStage, projectId } from './stage.ts';

const samples = join(import.meta.dirname, '..', '..', 'samples', '51-gke-workload-metadata.yaml');
const flavor = ['-H', 'Metadata-Flavor: Google'];
const kubeEnv = 'http://metadata/computeMetadata/v1/instance/attributes/kube-env';
const identity =
  'http://metadata/computeMetadata/v1/instance/service-accounts/default/identity?audience=https://www.example.com';
const legacyPath = '/computeMetadata/v1beta1/instance/attributes/kube-env';
const concealed = 'This metadata endpoint is concealed.';

/** The sample for every pod, and `disable-legacy-endpoints=true`, which is another setting there too. */
function gkeSecure(): ClusterMetadataPolicy {
  const documents = parseAllDocuments(readFileSync(samples, 'utf8'));
  const objects = documents.map((document) => document.toJS() as ClusterMetadataPolicy);
  const sample = objects.find(({ metadata }) => metadata.name === 'gke-secure');
  assert.ok(sample?.spec.conceal, 'the sample conceals something');
  const { profile, conceal } = sample.spec;
  return clusterMetadataPolicy({
    name: 'gke-secure',
    spec: { ...(profile && { profile }), conceal, legacyEndpoints: 'Deny' },
  });
}

describe("GKE's verification of metadata concealment, in a new pod that nobody bound", () => {
  let stage: ConformanceStage;
  let earlier = 0;

  before(async () => {
    stage = await ConformanceStage.start();
    await stage.replaceUnboundPod('metadata-concealment');
  });

  after(async () => {
    await stage[Symbol.asyncDispose]();
  });

  /** Body and status as `curl` prints them in that pod. */
  async function curl(...arguments_: readonly string[]): Promise<{ readonly body: string; readonly status: number }> {
    const child = stage.enter('unbound', [
      'curl',
      '--silent',
      '--max-time',
      '20',
      '-w',
      '\n%{http_code}',
      ...arguments_,
    ]);
    const ended = once(child, 'exit');
    const [output] = await Promise.all([child.stdout === null ? '' : text(child.stdout), ended]);
    const at = output.lastIndexOf('\n');
    return { body: output.slice(0, at), status: Number(output.slice(at + 1)) };
  }

  /** The requests that have reached the node's own metadata server since the last call. */
  function askedOfTheNode(): readonly string[] {
    const targets = stage.gce.requests().map(({ target }) => target);
    const since = targets.slice(earlier);
    earlier = targets.length;
    return since;
  }

  async function verifyConcealment(): Promise<void> {
    askedOfTheNode();
    assert.deepEqual(await curl(...flavor, kubeEnv), { body: concealed, status: 403 });
    for (const spelling of [[], flavor]) {
      const { body, status } = await curl(...spelling, `http://metadata${legacyPath}`);
      assert.equal(status, 403);
      assert.equal(
        body,
        `Legacy metadata endpoint accessed: ${legacyPath}\nLegacy metadata endpoints are disabled. Please use the /v1/ endpoint.`,
      );
    }
    const token = await curl(...flavor, identity);
    assert.equal(token.body.split('\n')[0], concealed);
    assert.ok([403, 404].includes(token.status), `${token.status}`);
    assert.doesNotMatch(token.body, new RegExp(leakCanary, 'u'));
    assert.deepEqual(askedOfTheNode(), [], 'the node was asked for what is concealed');
  }

  async function verifyRest(): Promise<void> {
    const { body, status } = await curl(...flavor, 'http://metadata/computeMetadata/v1/project/project-id');
    assert.deepEqual([body, status], [projectId, 200]);
    assert.equal(askedOfTheNode().length, 1);
  }

  it('kube-env, identity and legacy endpoints answer in the documented sentences by default', verifyConcealment);

  it('and what is not sensitive is served', verifyRest);

  it('and by the long name without the header nothing is', async () => {
    const { status } = await curl('http://metadata.google.internal/computeMetadata/v1/project/project-id');
    assert.equal(status, 403);
  });

  it("the sentences are the same with what GKE's SECURE and disable-legacy-endpoints give", async () => {
    await stage.applyPolicy(gkeSecure());
    await verifyConcealment();
    await verifyRest();
  });

  it('and the steps prove something: with Privileged alone kube-env is in the answer', async () => {
    const exposed = { spec: { profile: 'Privileged' }, metadata: { generation: 2 } } as const;
    await stage.applyPolicy(clusterMetadataPolicy({ name: 'gke-secure', ...exposed }));
    const { body, status } = await curl(...flavor, kubeEnv);
    assert.equal(status, 200);
    assert.match(body, new RegExp(leakCanary, 'u'));
  });
});
