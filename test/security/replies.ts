/** A strict reader of replies: whatever a sloppy client could read in another way is an error. */
import assert from 'node:assert/strict';

export interface RawReply {
  readonly status: number;
  /** By lower-case name; a name that comes twice is an error. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface ReadReplies {
  readonly replies: readonly RawReply[];
  /** Bytes of a reply that is not whole. */
  readonly rest: string;
}

/** Reads `bytes` (latin1) as replies one after the other; those to HEAD have no body. */
export function readReplies(bytes: string, { head = false } = {}): ReadReplies {
  const replies: RawReply[] = [];
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return { replies, rest };
    const { status, headers } = readHead(rest.slice(0, end));
    const length = head ? 0 : lengthOf(headers);
    const whole = end + 4 + length;
    if (rest.length < whole) return { replies, rest };
    const body = Buffer.from(rest.slice(end + 4, whole), 'latin1').toString('utf8');
    replies.push({ status, headers, body });
    rest = rest.slice(whole);
  }
}

function readHead(text: string): Pick<RawReply, 'status' | 'headers'> {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const status = /^HTTP\/1\.1 ([2-5][0-9]{2}) [A-Za-z -]+$/.exec(statusLine)?.[1];
  assert.ok(status !== undefined, `status line ${JSON.stringify(statusLine)}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name = '', value = ''] = /^([A-Za-z-]+): ([\x20-\x7e]*)$/.exec(line) ?? [];
    assert.ok(name !== '', `header line ${JSON.stringify(line)}`);
    assert.ok(!headers.has(name.toLowerCase()), `${name} comes twice`);
    headers.set(name.toLowerCase(), value);
  }
  return { status: Number(status), headers };
}

/** Every reply says how long it is, in one way only. */
function lengthOf(headers: ReadonlyMap<string, string>): number {
  const length = headers.get('content-length') ?? '';
  assert.match(length, /^(?:0|[1-9][0-9]*)$/, 'Content-Length');
  assert.ok(!headers.has('transfer-encoding'), 'Transfer-Encoding');
  return Number(length);
}
