/** What the MetadataProxy controller needs besides the common ports. */

/** Which nodes have a proxy that is connected to the node API and says that it serves. */
export interface ProxyConnections {
  isServing(nodeName: string): boolean;
  /** Names of nodes whose state may have changed. Returns the unsubscription. */
  onChange(listener: (nodes: ReadonlySet<string>) => void): () => void;
}

/** Sets the readiness gate of a proxy pod. */
export interface ServingGates {
  /** Writes condition `metaveil.dev/serving` into the pod's status; a pod that is gone is fine. Throws kubernetes-*. */
  set(
    pod: { readonly namespace: string; readonly name: string; readonly uid: string },
    serving: boolean,
  ): Promise<void>;
}

/** Removes the startup taint of a node. */
export interface NodeTaints {
  /** By JSON patch with a test; a taint or node that is gone is fine. Throws kubernetes-*. */
  remove(nodeName: string, taintKey: string): Promise<void>;
}
