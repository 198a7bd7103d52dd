/** What the MetadataProxy controller needs besides the common ports. */

/** Which nodes have a proxy that is connected to the node API and says that it serves. */
export interface ProxyConnections {
  isServing(nodeName: string): boolean;
  /** Names of nodes whose state may have changed. Returns the unsubscription. */
  onChange(listener: (nodes: ReadonlySet<string>) => void): () => void;
}
