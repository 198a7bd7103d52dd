/**
 * Pods that work together against their node: `node crowd.ts HOST PORT KIND ADDRESS...`. Each address opens as many
 * connections as it can and holds them; see `kinds`. Prints a line when all were opened, and goes on holding them.
 */
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const path = '/computeMetadata/v1/instance/?recursive=true';
const head = `GET ${path} HTTP/1.1\r\nHost: metadata.google.internal\r\nMetadata-Flavor: Google\r\n`;

/** What is sent on a connection, and whether the replies are read. */
const kinds = {
  /** One document, and the connection is kept. */
  idle: { bytes: `${head}\r\n`, reads: true },
  /** Almost as many bytes of headers as are allowed, never ended. */
  unfinished: { bytes: `${head}X-Long: ${'x'.repeat(7_500)}`, reads: true },
  /** Each request differs from the one before, and no reply is taken. */
  unread: {
    bytes: Array.from({ length: 8 }, (_, index) => `${head}User-Agent: ${'x'.repeat(500)}${index}\r\n\r\n`).join(''),
    reads: false,
  },
} as const;

/** Times the pods of a node, far more than there are. */
const connectionsEach = 24;
const pauseMs = 5;

const [host = '', port, kind, ...addresses] = process.argv.slice(2);
const { bytes, reads } = kinds[kind as keyof typeof kinds];

function open(localAddress: string): void {
  const socket = connect({ host, port: Number(port), localAddress });
  socket.on('error', () => undefined);
  if (reads) socket.resume();
  else socket.pause();
  socket.write(bytes);
}

for (const address of addresses) {
  for (let count = 0; count < connectionsEach; count += 1) open(address);
  await pause(pauseMs);
}
await pause(1_000);
process.stdout.write('holding\n');
process.stdin.resume().once('end', () => process.exit(0));
