import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { proxyPorts } from '../../../../operator/core/names.ts';
import { instanceText, parseInstance, type Instance } from '../../../../operator/core/redirect/instance.ts';
import { markerText, parseMarker } from '../../../../operator/core/redirect/marker.ts';
import {
  failureCodes,
  interceptMessageText,
  maxMessageLength,
  MessageLineReader,
  parseInterceptMessage,
  parseProxyMessage,
  proxyMessageText,
  type FailureCode,
  type InterceptMessage,
  type ProxyMessage,
} from '../../../../operator/core/redirect/messages.ts';

const hex = fc.nat(15).map((digit) => digit.toString(16));
const flat = { noNullPrototype: true } as const;
const instance: fc.Arbitrary<Instance> = fc.record(
  {
    startedAt: fc.nat(),
    id: fc.string({ unit: hex, minLength: 8, maxLength: 8 }),
  },
  flat,
);
const plain = <Kind extends string>(...kinds: Kind[]): fc.Arbitrary<{ kind: Kind }> =>
  fc.constantFrom(...kinds).map((kind) => ({ kind }));
const proxyMessage: fc.Arbitrary<ProxyMessage> = fc.oneof(
  fc.record({ kind: fc.constant('instance' as const), instance }, flat),
  fc.record({ kind: fc.constant('serving' as const), port: fc.constantFrom(...proxyPorts) }, flat),
  plain('draining', 'release', 'keep'),
);
const interceptMessage: fc.Arbitrary<InterceptMessage> = fc.oneof(
  fc.record(
    { kind: fc.constant('applied' as const), hash: fc.string({ unit: hex, minLength: 64, maxLength: 64 }) },
    flat,
  ),
  fc.record(
    {
      kind: fc.constant('failed' as const),
      code: fc.constantFrom(...(Object.keys(failureCodes) as FailureCode[])),
    },
    flat,
  ),
  plain('superseded', 'removed'),
);

describe('messages between proxy and intercept', () => {
  it('say on one end what was meant on the other', () => {
    fc.assert(
      fc.property(proxyMessage, interceptMessage, (from, to) => {
        assert.deepEqual(parseProxyMessage(proxyMessageText(from), proxyPorts), from);
        assert.deepEqual(parseInterceptMessage(interceptMessageText(to)), to);
      }),
    );
  });

  it('fit into the bound', () => {
    fc.assert(
      fc.property(proxyMessage, interceptMessage, (from, to) => {
        assert.ok(proxyMessageText(from).length <= maxMessageLength);
        assert.ok(interceptMessageText(to).length <= maxMessageLength);
      }),
    );
  });

  it('from the proxy cannot name a port, a word or a form that is not on the list', () => {
    const lines = [
      'serving 22',
      'serving 0',
      'serving 09880',
      'serving 9880 ',
      'serving',
      'serving 9880\r',
      'SERVING 9880',
    ];
    lines.push('', ' ', 'release now', 'keep ', 'flush', 'instance 1', 'instance 1-0a1b2c3d4', 'instance 01-0a1b2c3d');
    lines.push('__proto__', 'serving toString', 'applied 00000000');
    for (const line of lines) assert.equal(parseProxyMessage(line, proxyPorts), undefined, line);
  });

  it('from intercept cannot carry anything but a hash or a known code', () => {
    for (const line of [
      'applied',
      'applied XYZ',
      'failed',
      'failed toString',
      'failed __proto__',
      'absent',
      'removed 1',
    ]) {
      assert.equal(parseInterceptMessage(line), undefined, line);
    }
  });

  it('that are any text at all are refused or mean exactly that text', () => {
    fc.assert(
      fc.property(fc.string(), (line) => {
        const message = parseProxyMessage(line, proxyPorts);
        if (message !== undefined) assert.equal(proxyMessageText(message), line);
      }),
    );
  });
});

describe('lines', () => {
  it('are the same however the stream is cut', () => {
    const texts = fc.array(fc.string({ unit: hex, maxLength: maxMessageLength }), { maxLength: 5 });
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 7 }), (lines, size) => {
        const stream = lines.map((line) => `${line}\n`).join('');
        const reader = new MessageLineReader();
        const read: string[] = [];
        for (let at = 0; at < stream.length; at += size) {
          const part = reader.push(stream.slice(at, at + size));
          assert.equal(part.kind, 'lines');
          read.push(...part.lines);
        }
        assert.deepEqual(read, lines);
      }),
    );
  });

  it('are refused when they exceed the bound, also before they end', () => {
    assert.equal(new MessageLineReader().push('x'.repeat(maxMessageLength + 1)).kind, 'too-long');
    assert.equal(new MessageLineReader().push(`${'x'.repeat(maxMessageLength + 1)}\n`).kind, 'too-long');
    const reader = new MessageLineReader();
    assert.equal(reader.push('x'.repeat(maxMessageLength)).kind, 'lines');
    assert.equal(reader.push('x').kind, 'too-long');
  });
});

describe('marker', () => {
  it('comes back as it was, and fits into a comment of nft', () => {
    const marker = fc.record(
      {
        owner: fc.constantFrom('metaveil.dev', 'a'.repeat(40)),
        instance: fc.record({ startedAt: fc.nat(999_999_999_999_999), id: instance.map(({ id }) => id) }, flat),
        phase: fc.constantFrom('serving' as const, 'draining' as const),
        port: fc.integer({ min: 1, max: 65_535 }),
      },
      flat,
    );
    fc.assert(
      fc.property(marker, (each) => {
        assert.deepEqual(parseMarker(markerText(each)), each);
        assert.ok(markerText(each).length < 128);
      }),
    );
  });

  it('is read from no other text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.equal(parseMarker(text), undefined);
        const read = parseInstance(text);
        if (read !== undefined) assert.equal(instanceText(read), text);
      }),
    );
  });
});
