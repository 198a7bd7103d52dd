import type { ConformanceClient } from './contract.ts';
import { client as curl } from './curl.ts';
import { client as gcloud } from './gcloud.ts';
import { client as node } from './node.ts';

/** Every client of the matrix, in the order of its rows. */
export const clients: readonly ConformanceClient[] = [curl, node, gcloud];
