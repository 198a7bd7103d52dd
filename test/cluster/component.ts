import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** One running process of the control plane. */
export interface Component {
  readonly name: string;
  readonly pid: number;
  readonly logPath: string;
  /** Resolves when the process is gone, for whatever reason. */
  readonly exited: Promise<void>;
  readonly running: () => boolean;
  /** Sends SIGKILL; for handlers that cannot wait. */
  readonly kill: () => void;
}

export interface Command {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  /** The folder the log file `<name>.log` is appended to. */
  readonly folder: string;
}

/**
 * Starts one process of the control plane. It does not keep this process alive, nor does it die with it by itself
 * (see watchdog.ts).
 *
 * @throws {Error} when the program cannot be executed
 */
export async function startComponent(command: Command): Promise<Component> {
  const logPath = join(command.folder, `${command.name}.log`);
  const log = openSync(logPath, 'a');
  const child = spawn(command.program, [...command.args], {
    // Nothing else of our environment: etcd reads every ETCD_*, and proxies must not be asked for loopback.
    env: { PATH: process.env['PATH'], HOME: command.folder },
    stdio: ['ignore', log, log],
    cwd: command.folder,
  });
  closeSync(log);
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(new Error(`cannot start ${command.program}`, { cause })));
  });
  // A test that forgets to stop its cluster must end all the same.
  child.unref();
  return {
    name: command.name,
    pid: child.pid ?? 0,
    logPath,
    exited,
    running: () => child.exitCode === null && child.signalCode === null,
    kill: () => child.kill('SIGKILL'),
  };
}

/** Kills a component and waits until it is gone. */
export async function killComponent(component: Component): Promise<void> {
  component.kill();
  // Its handle is not counted by the event loop, so something else has to be while we wait.
  const hold = setInterval(() => undefined, 1000);
  await component.exited;
  clearInterval(hold);
}

/** The last lines a component wrote, for the message of an error it caused. */
export async function lastLines(component: Component, count = 15): Promise<string> {
  const text = await readFile(component.logPath, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-count).join('\n');
}

/**
 * A loopback port that nobody listens on now. It lies below the ephemeral range: a client that reconnects in a
 * loop to an ephemeral port while the server is down ends up connected to itself and keeps the port for good.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await canListen(port)) return port;
  }
  throw new Error('no free loopback port between 20000 and 32000');
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
