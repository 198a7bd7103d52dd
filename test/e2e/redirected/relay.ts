/** A TCP port in this process's network namespace that leads to a unix socket: files know no network namespaces. */
import { connect, createServer } from 'node:net';

const [port = '', path = ''] = process.argv.slice(2);

createServer((inside) => {
  const outside = connect(path);
  for (const socket of [inside, outside]) socket.on('error', () => undefined);
  inside.pipe(outside).pipe(inside);
}).listen(Number(port), '127.0.0.1', () => process.stdout.write('listening\n'));
