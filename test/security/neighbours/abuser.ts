/** A pod that abuses a metadata server from a process of its own, in the form that it is told, until it is told `stop`. */
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { forms, type Form } from './forms.ts';

export interface Order {
  /** Which of the forms. */
  readonly form: number;
  readonly host: string;
  readonly port: number;
}

/** Connections to begin with, and at most. */
const atOnce = 128;
const most = 1_000;
const few = 1;

const sockets = new Set<Socket>();
let current: Order | 'stop' = 'stop';

async function abuse(order: Order, form: Form): Promise<void> {
  for (let made = 0; made < atOnce; made += 1) open(order, form);
  while (current === order) {
    for (let made = 0; made < (form.pace ?? few) && sockets.size < most; made += 1) open(order, form);
    await pause(10);
  }
}

function open({ host, port }: Order, { bytes, reads = true, again }: Form): void {
  const socket = connect({ host, port });
  sockets.add(socket);
  socket.on('error', () => undefined);
  socket.on('close', () => sockets.delete(socket));
  if (again !== undefined) socket.on('data', (chunk) => socket.write(again.repeat(replies(chunk))));
  if (reads) socket.resume();
  else socket.pause();
  socket.write(bytes);
}

function replies(chunk: Buffer): number {
  return chunk.toString('latin1').split('HTTP/1.1 ').length - 1;
}

process.on('message', (order: Order | 'stop') => {
  current = order;
  for (const socket of sockets) socket.destroy();
  if (order === 'stop') return;
  const form = forms[order.form];
  if (form !== undefined) void abuse(order, form);
});
process.on('disconnect', () => process.exit());
