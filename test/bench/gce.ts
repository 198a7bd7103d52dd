/** The metadata server of a GCE VM, in a process of its own so that its work is not the proxy's: `node gce.ts PORT`. */
import { startGceEmulator } from '../../operator/local/gce/emulator.ts';
import { projects } from './snapshot.ts';

await startGceEmulator({ port: Number(process.argv[2]), instance: { projectId: projects.GCE } });
process.stdin.resume().once('end', () => process.exit(0));
process.stdout.write('listening\n');
