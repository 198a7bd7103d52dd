/** A node is served when its instance says so and is there to say otherwise: one that crashes takes nothing back. */
import type { Instances } from './instances.ts';
import type { ProxyConnections } from './ports.ts';

/** Which nodes have an instance that watches the node API. */
export interface NodeConnections {
  isConnected(node: string): boolean;
  onConnection(listener: (node: string) => void): () => void;
}

export function proxyConnections(instances: Instances, nodes: NodeConnections): ProxyConnections {
  return {
    isServing: (node) => nodes.isConnected(node) && instances.isServing(node),
    onChange: (listener) => {
      const stops = [instances.onChange(listener), nodes.onConnection((node) => listener(new Set([node])))];
      return () => stops.forEach((stop) => stop());
    },
  };
}
