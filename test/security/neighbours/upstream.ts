/** The metadata server of the node, in a process of its own: it answers as a GCE VM's does, but never for project-id. */
import { createServer, request } from 'node:http';
import { defaultInstance } from '../../../operator/local/gce/instance.ts';
import { startGceEmulator } from '../../../operator/local/gce/emulator.ts';

/** As long as the scripts and keys of a real node are together. */
const script = 'x'.repeat(32_768);

const attributes = { ...defaultInstance.attributes, 'startup-script': script };
const vm = new URL(`http://${(await startGceEmulator({ instance: { attributes } })).host}`);

const server = createServer((asked, answer) => {
  const { url: path = '', headers } = asked;
  if (path.includes('project-id')) return;
  request({ host: vm.hostname, port: vm.port, path, headers }, (reply) => {
    answer.writeHead(reply.statusCode ?? 500, reply.headers);
    reply.pipe(answer);
  }).end();
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => process.send?.('listening'));
process.on('disconnect', () => process.exit());
