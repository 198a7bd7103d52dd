/** The lines of the contract for programs in TypeScript: one answer for each request, in the order they came. */
import { createInterface } from 'node:readline';
import type { ClientReply, ClientRequest, Operation } from '../contract.ts';

type Asked<Name extends Operation['operation']> = Extract<ClientRequest, { readonly operation: Name }>;

export type Handlers = {
  readonly [Name in Operation['operation']]?: (request: Asked<Name>) => Promise<string>;
};

/** Until the end of standard input. */
export async function serve(handlers: Handlers): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as ClientRequest;
    process.stdout.write(`${JSON.stringify(await answer(handlers, request))}\n`);
  }
}

async function answer(handlers: Handlers, request: ClientRequest): Promise<ClientReply> {
  const { id, operation } = request;
  const handler = handlers[operation] as ((asked: ClientRequest) => Promise<string>) | undefined;
  if (handler === undefined) return { id, ok: false, error: `this client knows no ${operation}` };
  return handler(request).then(
    (value) => ({ id, ok: true, value }),
    (error: unknown) => ({ id, ok: false, error: String(error) }),
  );
}
