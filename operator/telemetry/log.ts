import pino from 'pino';
import { MetaveilError } from '../core/errors.ts';
import type { LogEvent, LogField } from './events.ts';
import { presentable } from './redact.ts';

export type LogFields = { readonly [Field in LogField]?: string | number | boolean };

/** One line of JSON per call. Events and fields come from closed lists, see events.ts. */
export interface Logger {
  info(event: LogEvent, fields?: LogFields): void;
  warn(event: LogEvent, fields?: LogFields): void;
  error(event: LogEvent, fields?: LogFields): void;
}

/** Where lines go; each ends in a newline. */
export interface LogDestination {
  write(line: string): void;
}

export interface LoggerOptions {
  /** Which program or part speaks, for example `proxy`. */
  readonly component: string;
  /** Default: standard output, written synchronously so that the last line before a crash is there. */
  readonly destination?: LogDestination;
}

type Level = 'info' | 'warn' | 'error';

/** A structured logger. Every string is bounded, escaped and cleared of credentials known by sight. */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? pino.destination({ fd: 1, sync: true });
  const lines = pino(
    {
      base: { component: options.component },
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  const log = (level: Level, event: LogEvent, fields: LogFields): void =>
    lines[level](presentableFields(fields), event);
  return {
    info: (event, fields = {}) => log('info', event, fields),
    warn: (event, fields = {}) => log('warn', event, fields),
    error: (event, fields = {}) => log('error', event, fields),
  };
}

/** A logger that says nothing, for tests and tools that print in another form. */
export const silentLogger: Logger = { info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * What may be said of an error. Messages of our own errors carry no secret; of others only the name and the system
 * code are shown, because a library may put a whole request into its message.
 */
export function describeError(error: unknown): string {
  if (error instanceof MetaveilError) return `${error.code}: ${error.message}`;
  if (!(error instanceof Error)) return 'unknown error';
  const code = 'code' in error && typeof error.code === 'string' ? ` ${error.code}` : '';
  return `${error.name}${code}`;
}

function presentableFields(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === 'string' ? presentable(value) : value]),
  );
}
