/** System programs that some tests need: present, or installed where the system's package manager allows it. */
import { execFileSync, spawnSync } from 'node:child_process';

/** Program → Debian package. */
const programs = {
  ip: 'iproute2',
  nft: 'nftables',
  conntrack: 'conntrack',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  sysctl: 'procps',
  pip3: 'python3-pip',
  javac: 'default-jdk-headless',
  mvn: 'maven',
} as const;

function isPresent(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0;
}

/** Installs what is missing; without root or apt-get the tests that need a program fail and say which. */
export function installTools(): void {
  const missing = Object.entries(programs).filter(([program]) => !isPresent(program));
  if (missing.length === 0 || process.getuid?.() !== 0 || !isPresent('apt-get')) return;
  const packages = [...new Set(missing.map(([, name]) => name))];
  process.stderr.write(`installing ${packages.join(', ')}\n`);
  execFileSync('apt-get', ['update', '-qq'], { stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('apt-get', ['install', '-y', '-qq', ...packages], { stdio: ['ignore', 'ignore', 'inherit'] });
}
