import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MetaveilError } from '../../../operator/core/errors.ts';
import { logEvents, logFields } from '../../../operator/telemetry/events.ts';
import { createLogger, describeError } from '../../../operator/telemetry/log.ts';
import { maxFieldLength, presentable } from '../../../operator/telemetry/redact.ts';

const jwt = 'eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl';

function captured(): { readonly lines: string[]; readonly logger: ReturnType<typeof createLogger> } {
  const lines: string[] = [];
  return {
    lines,
    logger: createLogger({ component: 'test', destination: { write: (line) => void lines.push(line) } }),
  };
}

describe('logger', () => {
  it('writes one line of JSON with level, component, event and fields', () => {
    const { lines, logger } = captured();
    logger.warn('request-denied', { code: 'concealed', status: 403 });
    assert.equal(lines.length, 1);
    assert.ok(lines[0]?.endsWith('\n'));
    const { time, ...rest } = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
    assert.match(String(time), /^\d{4}-\d\d-\d\dT/u);
    assert.deepEqual(rest, {
      level: 'warn',
      component: 'test',
      event: 'request-denied',
      code: 'concealed',
      status: 403,
    });
  });

  it('writes to standard output before the process can die', () => {
    const program = `
      import { createLogger } from ${JSON.stringify(new URL('../../../operator/telemetry/log.ts', import.meta.url).href)};
      createLogger({ component: 'child' }).error('proxy-stopped', { reason: 'killed' });
      process.kill(process.pid, 'SIGKILL');`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    assert.equal(child.signal, 'SIGKILL');
    assert.match(child.stdout, /"event":"proxy-stopped"/u);
  });

  it('redacts credentials that are known by sight, in every field', () => {
    const { lines, logger } = captured();
    logger.info('token-issued', {
      reason: `got ${jwt}`,
      path: 'x ya29.c.b0Canary-token',
      error: 'Bearer opaque-canary',
    });
    assert.doesNotMatch(lines.join(''), /canary|eyJzdWIi/iu);
    assert.match(lines.join(''), /got \[redacted\]/u);
  });

  it('shows names and sentences for every event and field', () => {
    for (const [name, meaning] of Object.entries({ ...logEvents, ...logFields })) {
      assert.match(name, /^[a-z][A-Za-z0-9-]*$/u);
      assert.match(meaning, /^[`A-Z].*\.$/u, name);
    }
  });
});

describe('presentable text', () => {
  it('has no control or direction character, whatever a tenant named an object', () => {
    const hostile = fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)) });
    fc.assert(
      fc.property(hostile, (text) => {
        assert.doesNotMatch(presentable(text), /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u);
        assert.ok(presentable(text).isWellFormed());
      }),
    );
    assert.equal(presentable('a\u001b[31mb\u202e'), 'a\\u001b[31mb\\u202e');
  });

  it('is bounded, and a token across the cut is still gone', () => {
    assert.equal(presentable('x'.repeat(maxFieldLength)).length, maxFieldLength);
    assert.equal(presentable('x'.repeat(1_000_000)).length, maxFieldLength + 1);
    const cut = presentable(`${'x'.repeat(maxFieldLength - 10)} ${jwt}`);
    assert.doesNotMatch(cut, /eyJ/u);
  });
});

describe('error description', () => {
  it('shows the message of our own errors and only the kind of others', () => {
    assert.equal(describeError(new MetaveilError('nodeapi-refused', 'not your pod')), 'nodeapi-refused: not your pod');
    const foreign = Object.assign(new Error(`POST /token ${jwt}`), { code: 'ECONNREFUSED' });
    assert.equal(describeError(foreign), 'Error ECONNREFUSED');
    assert.equal(describeError('text'), 'unknown error');
  });
});
