/**
 * Asks in the pod's name: for every line `PORT PATH` on standard input, tries the node until it answers, and prints
 * one line of JSON, see `Answer`. `node pod.ts ADDRESS`.
 */
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

export interface Answer {
  /** CLOCK_MONOTONIC in ns, which all processes of the machine share, as decimal digits. */
  readonly answeredAt: string;
  readonly status: number;
  readonly body: string;
}

/** Far below what is measured, and long enough not to take the processor from what is starting. */
const retryMs = 2;

const address = process.argv[2];
const headers = { Host: 'metadata.google.internal', 'Metadata-Flavor': 'Google' };

function ask(port: number, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: address, port, path, headers, agent: false }, (response) => {
      const answeredAt = String(process.hrtime.bigint());
      let body = '';
      response.setEncoding('utf8').on('data', (part: string) => (body += part));
      response.on('end', () => resolve({ answeredAt, status: response.statusCode ?? 0, body }));
    });
    asked.on('error', reject).end();
  });
}

async function firstAnswer(port: number, path: string): Promise<Answer> {
  for (;;) {
    const answer = await ask(port, path).catch(() => undefined);
    if (answer !== undefined) return answer;
    await delay(retryMs);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [port, path = '/'] = line.split(' ');
  process.stdout.write(`${JSON.stringify(await firstAnswer(Number(port), path))}\n`);
}
