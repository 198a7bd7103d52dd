/**
 * A program in a pod's namespace that asks the metadata server for the test: one JSON object per line in, one per
 * line out. It speaks plain HTTP; what an unmodified client library does is google-client.ts.
 */
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import type { Answer, Calls, Sample, Target } from './pod.ts';

type Methods = { readonly [Name in keyof Calls]: (argument: Calls[Name][0]) => Promise<Calls[Name][1]> };

interface Loop {
  stopped: boolean;
  readonly samples: Sample[];
  readonly ended: Promise<void>;
}

const loops = new Map<string, Loop>();

const methods: Methods = {
  get,

  /** Asks again and again, one request after the other, until `end`. */
  begin({ name, target, everyMs }) {
    const samples: Sample[] = [];
    const loop: { stopped: boolean; samples: Sample[]; ended: Promise<void> } = {
      stopped: false,
      samples,
      ended: Promise.resolve(),
    };
    loop.ended = (async () => {
      while (!loop.stopped) {
        const at = Date.now();
        samples.push({ at, answer: await get(target) });
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, at + everyMs - Date.now())));
      }
    })();
    loops.set(name, loop);
    return Promise.resolve(null);
  },

  async end({ name }) {
    const loop = loops.get(name);
    if (loop === undefined) throw new Error(`no loop ${name}`);
    loop.stopped = true;
    await loop.ended;
    loops.delete(name);
    return loop.samples;
  },
};

const kept = new Agent({ keepAlive: true });
const fresh = new Agent({ keepAlive: false });

function get({ host, port, path, headers = { 'Metadata-Flavor': 'Google' }, timeoutMs = 5_000, keepAlive }: Target) {
  return new Promise<Answer>((resolve) => {
    const fail = (code: string): void => resolve({ kind: 'error', code });
    const agent = keepAlive === true ? kept : fresh;
    const outgoing = request({ host, port, path, headers, agent }, (response) => {
      response.setEncoding('utf8');
      let body = '';
      response.on('data', (chunk: string) => (body += chunk));
      response.on('error', () => fail('cut'));
      response.on('end', () =>
        resolve({ kind: 'reply', status: response.statusCode ?? 0, headers: response.headers, body }),
      );
    });
    const timer = setTimeout(() => {
      fail('ETIMEDOUT');
      outgoing.destroy();
    }, timeoutMs);
    outgoing.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    outgoing.on('close', () => clearTimeout(timer));
    outgoing.end();
  });
}

interface Call {
  readonly id: number;
  readonly method: keyof Calls;
  readonly argument: never;
}

async function answer(line: string): Promise<void> {
  const { id, method, argument } = JSON.parse(line) as Call;
  const outcome = await methods[method](argument).then(
    (result: unknown) => ({ id, result }),
    (error: unknown) => ({ id, error: String(error) }),
  );
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

for await (const line of createInterface({ input: process.stdin })) void answer(line);
process.exit(0);
