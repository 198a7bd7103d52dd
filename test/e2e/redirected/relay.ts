/**
 * A TCP port in this process's network namespace that leads to a unix socket: files know no network namespaces.
 * `node relay.ts HOST PORT SOCKET`.
 */
import { connect, createServer } from 'node:net';

const [host = '', port = '', path = ''] = process.argv.slice(2);

createServer((inside) => {
  const outside = connect(path);
  for (const socket of [inside, outside]) socket.on('error', () => undefined);
  inside.on('close', () => outside.destroy());
  outside.on('close', () => inside.destroy());
  inside.pipe(outside).pipe(inside);
}).listen(Number(port), host, () => process.stdout.write('listening\n'));
