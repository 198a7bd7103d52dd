/** The wire format: what is accepted, what is refused, and that nothing a peer can send does anything else. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decodeAckRequest,
  decodeLeaveRequest,
  decodeReportRequest,
  decodeTokenReply,
  decodeTokenRequest,
  receivedOutcome,
  sentOutcome,
} from '../../../operator/nodeapi/wire/calls.ts';
import {
  decodeJson,
  integer,
  list,
  object,
  oneOf,
  optional,
  tagged,
  text,
  textMap,
} from '../../../operator/nodeapi/wire/decode.ts';
import { decodeRefusal, refusals } from '../../../operator/nodeapi/wire/errors.ts';
import { decodeFrame, encodeFrame, snapshotFrame } from '../../../operator/nodeapi/wire/frames.ts';
import { LineReader } from '../../../operator/nodeapi/wire/lines.ts';
import { mayCall, methodAt, methodNames, methods } from '../../../operator/nodeapi/wire/methods.ts';
import type { CallerKind } from '../../../operator/nodeapi/wire/methods.ts';
import { formatRange, negotiate, parseRange, wireLimits } from '../../../operator/nodeapi/wire/protocol.ts';
import { bindingView, policy, settings, snapshot, workload } from './resources.ts';

const full = snapshot(
  settings('node-a'),
  workload('alpha', bindingView('alpha', { scopes: ['s'], idTokenAudiences: ['https://a'] })),
  workload('beta'),
  policy('hide', {
    profile: 'Restricted',
    legacyEndpoints: 'Allow',
    conceal: [{ source: 'a/b-*/**', segments: [{ kind: 'glob', parts: ['b-', ''] }], subtree: true }],
  }),
);

describe('frames', () => {
  it('a snapshot arrives as it was sent', () => {
    const decoded = decodeFrame(encodeFrame(snapshotFrame(full)));
    assert.ok(decoded.kind === 'valid' && decoded.value.type === 'snapshot');
    assert.deepEqual(
      decoded.value.resources.map((each) => (each.kind === 'usable' ? each.versioned : each.reason)),
      [...full.resources.values()],
    );
  });

  it('any value in place of any field of a resource is refused with its place, or means the same', () => {
    const [line] = [encodeFrame(snapshotFrame(full))];
    const places = [...line.matchAll(/"(?:\w+)":/gu)].map((match) => match.index + match[0].length);
    const values = fc.constantFrom('null', '-1', '1e9', '"x"', '""', '[]', '{}', 'true', '"\\u0000"', '[[]]');
    fc.assert(
      fc.property(fc.constantFrom(...places), values, (place, value) => {
        const end = endOfValue(line, place);
        const decoded = decodeFrame(line.slice(0, place) + value + line.slice(end));
        if (decoded.kind === 'invalid') return decoded.problem.length > 0;
        if (decoded.value.type !== 'snapshot') return decoded.value.type === 'unknown';
        return decoded.value.resources.every(
          (each) => each.kind === 'refused' || !JSON.stringify(each).includes('[[]]'),
        );
      }),
      { numRuns: 2000 },
    );
  });

  it('no JSON makes a frame with a field that is not of the protocol', () => {
    const types = fc.constantFrom('hello', 'snapshot', 'delta', 'heartbeat', 'bye', 'later');
    fc.assert(
      fc.property(types, fc.dictionary(fc.string(), fc.jsonValue()), (type, fields) => {
        const decoded = decodeFrame(JSON.stringify({ ...fields, type }));
        if (decoded.kind === 'invalid') return true;
        const fieldsOfFrames = ['type', 'protocol', 'heartbeatMs', 'version', 'resources', 'from', 'to'];
        const known = new Set([...fieldsOfFrames, 'upserts', 'removals', 'reason', 'leader']);
        return Object.keys(decoded.value).every((key) => known.has(key));
      }),
      { numRuns: 1000 },
    );
  });

  it('no text makes the decoder throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => ['valid', 'invalid'].includes(decodeFrame(line).kind)),
    );
  });

  for (const [what, line] of [
    ['too many resources', `{"type":"snapshot","version":"aa","resources":[${'0,'.repeat(10_000)}0]}`],
    ['nesting without end', `{"type":${'['.repeat(100_000)}`],
    ['a heartbeat of 0 ms', '{"type":"hello","protocol":1,"heartbeatMs":0}'],
    ['a leader that is no address', '{"type":"bye","reason":"not-leader","leader":"http://evil/"}'],
    ['a reason that does not exist', '{"type":"bye","reason":"because"}'],
  ] as const)
    it(`refuses ${what}`, () => assert.equal(decodeFrame(line).kind, 'invalid'));
});

/** End of the JSON value that starts at `start`. */
function endOfValue(json: string, start: number): number {
  for (let end = start + 1; end <= json.length; end += 1) {
    if (!/[,}\]]/u.test(json[end] ?? '')) continue;
    try {
      JSON.parse(json.slice(start, end));
      return end;
    } catch {
      // Not the whole value yet.
    }
  }
  throw new Error('no value');
}

describe('calls', () => {
  const decoders = {
    decodeAckRequest,
    decodeTokenRequest,
    decodeReportRequest,
    decodeLeaveRequest,
    decodeTokenReply,
  };

  it('no JSON makes a decoder throw or lets a foreign field through', () => {
    const known = new Set([
      'version',
      'nacks',
      'ready',
      'workload',
      'wish',
      'sequence',
      'counts',
      'kind',
      'issued',
      'refusal',
    ]);
    const names = fc.oneof(fc.string(), fc.constantFrom(...known, '__proto__', 'constructor'));
    fc.assert(
      fc.property(fc.dictionary(names, fc.jsonValue()), (value) => {
        for (const decoder of Object.values(decoders)) {
          const decoded = decoder(value);
          if (decoded.kind === 'valid') assert.ok(Object.keys(decoded.value).every((key) => known.has(key)));
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('a token travels with what is left of its life, whatever the clocks of both ends say', () => {
    const [controllerNow, nodeNow] = [Date.UTC(2026, 0, 1), Date.UTC(2020, 0, 1)];
    const outcome = { kind: 'issued', issued: { token: 'secret', expiresAt: controllerNow + 600_000.9 } } as const;
    const sent = sentOutcome(outcome, controllerNow);
    assert.deepEqual(sent, { kind: 'issued', issued: { token: 'secret', expiresInMs: 600_000 } });
    const decoded = decodeTokenReply(JSON.parse(JSON.stringify(sent)));
    assert.ok(decoded.kind === 'valid');
    assert.deepEqual(receivedOutcome(decoded.value, nodeNow), {
      kind: 'issued',
      issued: { token: 'secret', expiresAt: nodeNow + 600_000 },
    });
  });

  it('a token that has ended, or that claims to live for years, is sent within bounds', () => {
    const left = (ms: number) => {
      const sent = sentOutcome({ kind: 'issued', issued: { token: 'secret', expiresAt: 5000 + ms } }, 5000);
      assert.equal(decodeTokenReply(sent).kind, 'valid');
      return sent.kind === 'issued' ? sent.issued.expiresInMs : undefined;
    };
    assert.equal(left(-1), 0);
    assert.equal(left(1e13), wireLimits.tokenLifetimeMs);
    const reply = (expiresInMs: unknown) => decodeTokenReply({ kind: 'issued', issued: { token: 'a', expiresInMs } });
    for (const wrong of [-1, 0.5, wireLimits.tokenLifetimeMs + 1, '1', undefined])
      assert.equal(reply(wrong).kind, 'invalid');
  });

  it('a refusal travels as it is', () => {
    const refused = { kind: 'refused', refusal: { kind: 'unbound' } } as const;
    assert.deepEqual(receivedOutcome(sentOutcome(refused, 1), 2), refused);
  });

  it('a wish of each kind decodes, and nothing else does', () => {
    const ask = (wish: unknown) => decodeTokenRequest({ workload: 'pod-1', wish }).kind;
    assert.equal(ask({ kind: 'access', scopes: [] }), 'valid');
    assert.equal(ask({ kind: 'identity', audience: 'https://a', format: 'full' }), 'valid');
    assert.equal(ask({ kind: 'identity', audience: 'https://a', format: 'other' }), 'invalid');
    assert.equal(ask({ kind: 'identity', audience: 'a'.repeat(1025), format: 'full' }), 'invalid');
    assert.equal(ask({ kind: 'access', scopes: ['s'.repeat(257)] }), 'invalid');
    assert.equal(ask({ kind: 'toString', scopes: [] }), 'invalid');
    assert.equal(decodeTokenRequest({ workload: 'a b', wish: { kind: 'access', scopes: [] } }).kind, 'invalid');
  });

  it('counts are increments', () => {
    const report = (count: number) =>
      decodeReportRequest({ sequence: 1, counts: [{ policy: '', decision: 'legacy', count }] }).kind;
    assert.deepEqual([1, 0, -1, 1.5, 1e10].map(report), ['valid', 'invalid', 'invalid', 'invalid', 'invalid']);
  });

  it('legacy counts are optional, and name a workload and whether it was let in', () => {
    const good = { workload: 'pod-1', endpoint: 'instance/id', access: 'allowed', count: 1 };
    const report = (legacy: unknown) => decodeReportRequest({ sequence: 1, counts: [], legacy });
    assert.deepEqual(report(undefined), { kind: 'valid', value: { sequence: 1, counts: [] } });
    assert.deepEqual(report([{ ...good, later: 1 }]), {
      kind: 'valid',
      value: { sequence: 1, counts: [], legacy: [good] },
    });
    for (const bad of [
      { ...good, workload: 'a b' },
      { ...good, endpoint: 'e'.repeat(65) },
      { ...good, access: 'later' },
      { ...good, count: 0 },
    ])
      assert.equal(report([bad]).kind, 'invalid', JSON.stringify(bad));
    assert.equal(report(Array.from({ length: 513 }, () => good)).kind, 'invalid');
  });

  it('a controller of before that knows no legacy counts reads the rest of a report', () => {
    const counts = [{ policy: 'p', decision: 'legacy', count: 2 }];
    const legacy = [{ workload: 'pod-1', endpoint: 'instance/id', access: 'denied', count: 2 }];
    const count = object({ policy: text({ max: 128 }), decision: text({ max: 20 }), count: integer(1, 10) });
    const before = object({ sequence: integer(1, 10), counts: list(count, 10) });
    assert.deepEqual(before({ sequence: 3, counts, legacy }), { kind: 'valid', value: { sequence: 3, counts } });
  });

  it('a problem never repeats the input', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[g-z]{12,30}$/u), (secret) => {
        const inputs = [{ [secret]: secret }, { workload: { [secret]: 1 } }, { workload: 'p', wish: { kind: secret } }];
        for (const input of inputs) assert.ok(!JSON.stringify(decodeTokenRequest(input)).includes(secret));
      }),
    );
  });
});

describe('decoders', () => {
  it('copy named fields only, and take none from the prototype', () => {
    const decoder = object({ a: text({ max: 3 }), b: optional(text({ max: 3 })) });
    assert.deepEqual(decoder({ a: 'x', c: 'y' }), { kind: 'valid', value: { a: 'x' } });
    assert.deepEqual(decoder(Object.create({ a: 'x' })), { kind: 'invalid', at: 'a', problem: 'expected a string' });
    assert.equal(decodeJson(decoder, '{"a":"x","__proto__":{"b":"y"}}').kind, 'valid');
  });

  it('name the place', () => {
    const decoder = object({ outer: tagged('kind', { k: object({ kind: oneOf('k'), name: text({ max: 1 }) }) }) });
    assert.deepEqual(decoder({ outer: { kind: 'k', name: 'xx' } }), {
      kind: 'invalid',
      at: 'outer.name',
      problem: 'longer than 1',
    });
  });

  it('a map takes hostile keys as data', () => {
    const decoded = decodeJson(textMap({ max: 20 }, { max: 20 }, 3), '{"__proto__":"x","constructor":"y"}');
    assert.ok(decoded.kind === 'valid');
    assert.deepEqual(Object.entries(decoded.value), [
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    assert.equal(decodeJson(textMap({ max: 1 }, { max: 1 }, 1), '{"a":"x","b":"y"}').kind, 'invalid');
  });
});

describe('lines', () => {
  it('however the stream is cut, the lines are the same (property)', () => {
    const content = fc.array(fc.string({ unit: 'grapheme' }).map((line) => line.replaceAll('\n', ' ')));
    fc.assert(
      fc.property(content, fc.array(fc.nat(40)), (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line.toWellFormed()}\n`).join(''));
        const reader = new LineReader(1 << 20);
        const seen: string[] = [];
        let rest: Uint8Array = bytes;
        for (const cut of [...cuts, bytes.length]) {
          seen.push(...reader.push(rest.subarray(0, cut)).lines);
          rest = rest.subarray(cut);
        }
        assert.deepEqual(
          seen,
          lines.map((line) => line.toWellFormed().replace(/^\ufeff/u, '')),
        );
      }),
    );
  });

  it('a bound holds across chunks, and lines before it still count', () => {
    const reader = new LineReader(4);
    assert.deepEqual(reader.push(Buffer.from('abcd\nab')), { lines: ['abcd'] });
    assert.deepEqual(reader.push(Buffer.from('cd\nabcde')), { lines: ['abcd'], problem: 'too-long' });
  });
});

describe('who may call what', () => {
  const callers: Record<CallerKind, true> = { proxy: true, nobody: true };
  const allowed = new Set(['proxy watch', 'proxy ack', 'proxy token', 'proxy report', 'proxy leave']);

  for (const caller of Object.keys(callers) as CallerKind[])
    for (const method of methodNames)
      it(`${caller} ${method}: ${allowed.has(`${caller} ${method}`) ? 'yes' : 'no'}`, () => {
        assert.equal(mayCall(caller, method), allowed.has(`${caller} ${method}`));
      });

  it('the table is all there is', () => {
    assert.deepEqual(
      methodNames.map((name) => methodAt(methods[name].path)),
      methodNames,
    );
    fc.assert(
      fc.property(
        fc.webPath(),
        (path) => methodAt(path) === undefined || methodNames.some((n) => methods[n].path === path),
      ),
    );
  });
});

describe('protocol versions', () => {
  const rows = [
    [{ min: 1, max: 1 }, { min: 1, max: 1 }, 1],
    [{ min: 1, max: 2 }, { min: 1, max: 1 }, 1],
    [{ min: 1, max: 2 }, { min: 2, max: 3 }, 2],
    [{ min: 1, max: 1 }, { min: 2, max: 3 }, undefined],
    [{ min: 3, max: 2 }, { min: 1, max: 9 }, undefined],
  ] as const;
  for (const [ours, theirs, chosen] of rows)
    it(`${formatRange(ours)} and ${formatRange(theirs)}: ${chosen ?? 'none'}`, () => {
      assert.equal(negotiate(ours, theirs), chosen);
      assert.equal(negotiate(theirs, ours), chosen);
      assert.deepEqual(parseRange(formatRange(ours)), ours);
    });

  for (const header of [undefined, '', '1', '1-', '-1', '1-2-3', ' 1-2', '1-99999', '１-２'])
    it(`no range: ${JSON.stringify(header)}`, () => assert.equal(parseRange(header), undefined));
});

describe('refusals', () => {
  for (const [code, { status, meaning }] of Object.entries(refusals))
    it(`${code} has a status of an error and a sentence, and travels`, () => {
      assert.ok(status >= 400 && status < 600);
      assert.match(meaning, /^[A-Z].*\.$/u);
      assert.equal(decodeRefusal({ code, message: meaning, retryAfterMs: 5, leader: '[::1]:8443' }).kind, 'valid');
    });
});
