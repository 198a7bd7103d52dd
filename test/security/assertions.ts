/** What every attack ends in, and what its honest form gets: both are asserted whole, so that each can fail. */
import assert from 'node:assert/strict';
import { denials, type DenialCode } from '../../operator/core/request/denials.ts';
import { secrets, type LogLine, type Observed } from './harness.ts';
import { canonicalRequest } from './recorder.ts';
import type { RawReply } from './replies.ts';

export interface ExpectedDenial {
  readonly status: number;
  readonly code: DenialCode;
  /** Default: the code's own sentence. */
  readonly body?: string | RegExp;
  /** Fields of the log line beyond code, status and source. */
  readonly line?: LogLine;
}

/** One denial with its code, one log line, and neither the upstream nor the controller was asked. */
export function denied(seen: Observed, expected: ExpectedDenial): RawReply {
  const reply = only(seen.replies, 'reply');
  assertDenialReply(reply, seen.head ? { ...expected, body: '' } : expected);
  if (reply.headers.get('connection') === 'close') assert.ok(seen.closed, 'the server left the connection open');
  assertDenialLine(only(seen.lines, 'log line'), seen.from, expected);
  assertNothingAsked(seen);
  return reply;
}

/** No reply at all, one log line, and neither the upstream nor the controller was asked. */
export function refused(seen: Observed, reason: string | RegExp): void {
  assert.deepEqual(seen.replies, []);
  const line = only(seen.lines, 'log line');
  assert.deepEqual([line['event'], line['level'], line['source']], ['connection-refused', 'warn', seen.from]);
  assertText(String(line['reason']), reason);
  assertNoSecret(JSON.stringify(line));
  assertNothingAsked(seen);
}

export interface ExpectedService {
  /** Default 200. */
  readonly status?: number;
  readonly body?: string | RegExp;
  /** Targets that the upstream was asked, in order. Default: none. */
  readonly upstream?: readonly string[];
  /** Tokens that the controller was asked for. Default 0. */
  readonly tokens?: number;
}

/** One reply without a code, no log line of a refusal, and the upstream saw exactly the canonical requests. */
export function served(seen: Observed, expected: ExpectedService = {}): RawReply {
  const reply = only(seen.replies, 'reply');
  const { status = 200, body, upstream = [], tokens = 0 } = expected;
  assert.equal(reply.status, status, `${reply.headers.get('x-metaveil-code') ?? ''}: ${reply.body}`);
  assert.equal(reply.headers.get('x-metaveil-code'), undefined);
  assert.equal(reply.headers.get('metadata-flavor'), 'Google');
  if (body !== undefined) assertText(reply.body, body);
  assert.deepEqual(
    seen.lines.filter(({ event }) => event !== 'token-issued'),
    [],
  );
  assert.deepEqual(seen.upstream, upstream.map(canonicalRequest));
  assert.equal(seen.tokens.length, tokens);
  return reply;
}

/** Status, code, body and headers of a denial. */
export function assertDenialReply(reply: RawReply, { code, status, body }: ExpectedDenial): void {
  const { headers } = reply;
  const definition: { readonly text: string; readonly close?: boolean } = denials[code];
  assert.deepEqual([headers.get('x-metaveil-code'), reply.status], [code, status], reply.body);
  assertText(reply.body, body ?? definition.text);
  assertNoSecret(reply.body);
  assert.equal(headers.get('content-type'), 'text/plain; charset=utf-8');
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  const isMissing = code === 'missing-metadata-flavor';
  assert.equal(headers.get('metadata-flavor'), isMissing ? undefined : 'Google');
  assert.equal(headers.get('server'), isMissing ? undefined : 'Metadata Server for VM');
  if (definition.close === true) assert.equal(headers.get('connection'), 'close');
}

/** The line that a denial leaves. */
export function assertDenialLine(line: LogLine, from: string, { code, status, line: more = {} }: ExpectedDenial): void {
  const expected = { event: 'request-denied', level: 'warn', code, status, source: from, ...more };
  const shown = Object.fromEntries(Object.keys(expected).map((field) => [field, line[field]]));
  assert.deepEqual(shown, expected);
  assertNoSecret(JSON.stringify(line));
}

export function assertNothingAsked(seen: Pick<Observed, 'upstream' | 'tokens'>): void {
  assert.deepEqual(seen.upstream, []);
  assert.deepEqual(seen.tokens, []);
}

export function assertNoSecret(text: string): void {
  for (const secret of secrets) assert.ok(!text.includes(secret), `${secret} in ${text}`);
}

function assertText(text: string, expected: string | RegExp): void {
  if (typeof expected === 'string') assert.equal(text, expected);
  else assert.match(text, expected);
}

function only<T>(items: readonly T[], what: string): T {
  const [item] = items;
  assert.ok(item !== undefined && items.length === 1, `not one ${what}: ${JSON.stringify(items)}`);
  return item;
}
