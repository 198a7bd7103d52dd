/**
 * What node:http costs by itself: `node bare.ts ADDRESS PORT BODY` answers every request with the headers and the body
 * of the proxy's own reply, and does nothing else. Prints one line when it listens.
 */
import { createServer } from 'node:http';

const [address, port, body = ''] = process.argv.slice(2);
const headers = [
  ...['Content-Type', 'application/json', 'Metadata-Flavor', 'Google', 'Server', 'Metadata Server for VM'],
  ...['Content-Length', String(Buffer.byteLength(body))],
];

createServer((_request, response) => {
  response.writeHead(200, headers);
  response.end(body);
}).listen(Number(port), address, () => process.stdout.write('listening\n'));
