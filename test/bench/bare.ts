/**
 * What node:http costs by itself: `node bare.ts ADDRESS PORT SETTINGS BODY` answers every request with the headers and
 * the body of the proxy's own reply, with the proxy's own settings of node:http, and does nothing else. Prints one line
 * when it listens.
 */
import { createServer } from 'node:http';
import type { serverSettings } from '../../operator/proxy/listener.ts';

const [address, port, settings = '', body = ''] = process.argv.slice(2);
const { options, properties } = JSON.parse(settings) as ReturnType<typeof serverSettings>;
const headers = [
  ...['Content-Type', 'application/json', 'Metadata-Flavor', 'Google', 'Server', 'Metadata Server for VM'],
  ...['Content-Length', String(Buffer.byteLength(body))],
];

const server = createServer(options, (_request, response) => {
  response.writeHead(200, headers);
  response.end(body);
});
Object.assign(server, properties);
server.listen(Number(port), address, () => process.stdout.write('listening\n'));
