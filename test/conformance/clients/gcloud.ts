import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { ConformanceClient } from './contract.ts';

export const client: ConformanceClient = {
  name: 'gcloud',
  operations: ['project-id', 'email', 'access-token', 'identity-token'],
  prepare: () => {
    const found = spawnSync('sh', ['-c', 'command -v gcloud'], { encoding: 'utf8' }).stdout.trim();
    if (found === '') throw new Error('gcloud (the Google Cloud CLI) is not installed');
    return Promise.resolve({
      command: [process.execPath, join(import.meta.dirname, 'programs', 'gcloud.ts')],
      // It is a program of the system, so its version is not ours to fix.
      versions: { gcloud: 'as installed' },
    });
  },
};
