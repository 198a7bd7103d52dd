import type { ConformanceClient } from './contract.ts';
import { client as curl } from './curl.ts';
import { client as gcloud } from './gcloud.ts';
import { client as go } from './go.ts';
import { client as java } from './java.ts';
import { client as node } from './node.ts';
import { client as python } from './python.ts';

/** Every client of the matrix, in the order of its rows. */
export const clients: readonly ConformanceClient[] = [curl, node, python, go, java, gcloud];
