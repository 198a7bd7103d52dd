/** An installed product for one test file: a control plane of its own, Google's emulator, and controllers to start and end. */
import type { Condition } from '../../../operator/api/v1/index.ts';
import type { GoogleEmulator } from '../../../operator/local/google/emulator.ts';
import { startProductCluster, type Cluster, type ClusterOptions } from '../../cluster/cluster.ts';
import { clusterKind, namespacedKind, type Kind, type Stored } from '../../cluster/kinds.ts';
import { ControllerProcess, installProduct, kubectlOk, providerManifest, startGoogle } from '../installation.ts';
import type { ControllerOptions } from '../installation.ts';

export const systemNamespace = 'metaveil-system';

/** Any object of ours, as far as tests look into it. */
export interface OwnObject {
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: { readonly observedGeneration?: number; readonly conditions?: readonly Condition[] };
}

const version = 'metaveil.dev/v1';
export const Bindings = namespacedKind<OwnObject>(version, 'WorkloadIdentityBinding', 'workloadidentitybindings');
export const Providers = clusterKind<OwnObject>(version, 'WorkloadIdentityProvider', 'workloadidentityproviders');
export const Policies = namespacedKind<OwnObject>(version, 'MetadataPolicy', 'metadatapolicies');
export const ClusterPolicies = clusterKind<OwnObject>(version, 'ClusterMetadataPolicy', 'clustermetadatapolicies');
export const Proxies = clusterKind<OwnObject>(version, 'MetadataProxy', 'metadataproxies');
export const ownKinds: readonly Kind<OwnObject>[] = [Bindings, Providers, Policies, ClusterPolicies, Proxies];

export class Product {
  readonly cluster: Cluster;
  readonly google: GoogleEmulator;
  readonly #controllers: ControllerProcess[] = [];

  /** Installed as the README says, its provider `default` at the emulator; no controller runs yet. */
  static async install(options: ClusterOptions = {}): Promise<Product> {
    const cluster = await startProductCluster(options);
    try {
      await installProduct(cluster);
      const google = await startGoogle(cluster);
      const product = new Product(cluster, google);
      await product.useEmulator();
      return product;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  private constructor(cluster: Cluster, google: GoogleEmulator) {
    this.cluster = cluster;
    this.google = google;
  }

  /** Before anything else names the provider: no controller of a test may ever reach for the real Google. */
  async useEmulator(): Promise<void> {
    const args = ['apply', '--server-side', '--field-manager=test', '-f', '-'];
    await kubectlOk(this.cluster, args, providerManifest(this.google));
  }

  async startController(options: ControllerOptions = {}): Promise<ControllerProcess> {
    const controller = await ControllerProcess.start(this.cluster, options);
    this.#controllers.push(controller);
    return controller;
  }

  /** A controller that leads. */
  async startLeader(options: ControllerOptions = {}): Promise<ControllerProcess> {
    const controller = await this.startController(options);
    await controller.ready();
    await controller.leading();
    return controller;
  }

  async stop(): Promise<void> {
    for (const controller of this.#controllers) await controller.stop('SIGKILL');
    await this.google.close();
    await this.cluster.stop();
  }
}

export function conditionOf(object: OwnObject, type: string): Condition | undefined {
  return object.status?.conditions?.find((condition) => condition.type === type);
}

/** `True`, `False` or `Unknown`, with its reason; says when the status is about an older generation. */
export function verdictOf(object: Stored<OwnObject>, type = 'Ready'): string {
  if (object.status?.observedGeneration !== object.metadata.generation) return 'of an older generation';
  const condition = conditionOf(object, type);
  return `${condition?.status ?? 'absent'} ${condition?.reason ?? ''}`;
}
