/** A pod that asks for its token at a steady pace, from a process of its own: every tenth time on a new connection. */
import { Agent, request } from 'node:http';
import { metadataServer } from '../../netns/topology.ts';
import { token } from '../harness.ts';

export interface Measured {
  /** Milliseconds of each request, sorted. */
  readonly latencies: readonly number[];
  readonly failed: number;
}

const kept = new Agent({ keepAlive: true, maxSockets: 1 });
const pauseMs = 5;

function once(agent: Agent | false): Promise<number | undefined> {
  const begin = performance.now();
  const headers = { Host: 'metadata.google.internal', 'Metadata-Flavor': 'Google' };
  return new Promise((resolve) => {
    const options = { host: metadataServer.ipv4, path: token, headers, agent, timeout: 5_000 };
    const asked = request(options, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode === 200 ? performance.now() - begin : undefined));
    });
    asked.once('timeout', () => asked.destroy());
    asked.once('error', () => resolve(undefined));
    asked.end();
  });
}

async function measure(durationMs: number): Promise<Measured> {
  const latencies: number[] = [];
  let failed = 0;
  const end = performance.now() + durationMs;
  for (let index = 0; performance.now() < end; index += 1) {
    const latency = await once(index % 10 === 0 ? false : kept);
    if (latency === undefined) failed += 1;
    else latencies.push(latency);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return { latencies: latencies.sort((a, b) => a - b), failed };
}

process.on('message', (durationMs: number) => void measure(durationMs).then((measured) => process.send?.(measured)));
process.on('disconnect', () => process.exit());
