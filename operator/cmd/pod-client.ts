/**
 * A pod's program for the embedded default, in a process of its own: client libraries keep what they learnt about their
 * metadata server for the life of the process. Prints one line of JSON, without any token.
 */
import { askForToken } from '../adapters/google/pod-client.ts';

process.stdout.write(`${JSON.stringify(await askForToken(Date.now))}\n`);
