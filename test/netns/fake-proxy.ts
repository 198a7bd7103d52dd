/**
 * Stands in for the proxy: listens as it does, answers with its name and what it sees of the client (but never to
 * `/never`), and has the real link to intercept. It does not run as root. Arguments: name, directory, port, the node's addresses.
 * Commands on standard input: draining, keep, release. Every change of intercept's state is a line on standard output.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { InterceptLink } from '../../operator/proxy/intercept-link.ts';
import { silentLogger } from '../../operator/telemetry/log.ts';

const [name = '', directory = '', port = '', ...hosts] = process.argv.slice(2);

// After the imports: the checkout need not be readable for others.
process.setgid?.(65532);
process.setuid?.(65532);

for (const host of hosts) {
  const server = createServer((request, response) => {
    const { remoteAddress = '', localAddress = '' } = request.socket;
    if (request.url === '/never') {
      process.stdout.write(`${JSON.stringify({ kind: 'pending' })}\n`);
      return;
    }
    response.end(`${name} ${remoteAddress} ${localAddress}`);
  });
  await once(server.listen(Number(port), host), 'listening');
}

const link = new InterceptLink({
  directory,
  logger: silentLogger,
  timers: {
    now: () => Date.now(),
    after: (delayMs, task) => {
      const timer = setTimeout(task, delayMs);
      return () => clearTimeout(timer);
    },
  },
  uptimeMs: () => Number(process.hrtime.bigint() / 1_000_000n),
});
link.onChange(() => process.stdout.write(`${JSON.stringify(link.state)}\n`));
await link.listen();
link.serving(Number(port));

for await (const command of createInterface({ input: process.stdin })) {
  if (command === 'draining') link.draining();
  if (command === 'keep') link.keep();
  if (command === 'release') process.stdout.write(`${JSON.stringify({ kind: await link.release(5_000) })}\n`);
}
process.exit(0);
