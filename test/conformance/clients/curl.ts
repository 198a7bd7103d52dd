import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { allOperations, type ConformanceClient } from './contract.ts';

export const client: ConformanceClient = {
  name: 'curl',
  operations: allOperations,
  prepare: () => {
    const { error } = spawnSync('curl', ['--version']);
    if (error) throw new Error('curl is not installed', { cause: error });
    // Whatever the system has: what curl sends has been the same for decades.
    return Promise.resolve({
      command: [process.execPath, join(import.meta.dirname, 'programs', 'curl.ts')],
      versions: { curl: 'as installed' },
    });
  },
};
