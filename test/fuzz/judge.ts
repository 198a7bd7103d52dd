/** What must hold of what was let through: every server reads it alike, and the rules, said a second time, reveal it. */
import type { Permit } from '../../operator/core/policy/decision.ts';
import type { CanonicalRequest } from '../../operator/core/request/canonical.ts';
import type { UpstreamPlan } from '../../operator/proxy/upstream-question.ts';
import { ownEmails, type Reference } from './reference.ts';
import { queryKeys, readAll, servers, type Place, type Reading, type Server } from './servers.ts';

/** A finding: something was let through, or refused, that must not be. */
export class Bypass extends Error {
  override readonly name = 'Bypass';
}

function fail(what: string, detail: unknown): never {
  throw new Bypass(`${what}: ${JSON.stringify(detail)}`);
}

const slashed = (path: readonly string[]): string => path.join('/');

/** How a server's reading of a path is compared with ours: what it cannot tell apart counts as the same. */
function asReadBy({ foldsCase, readsPlusAsSpace }: Server, path: readonly string[]): string {
  const text = slashed(path);
  const folded = foldsCase ? text.toLowerCase() : text;
  return readsPlusAsSpace ? folded.replaceAll('+', ' ') : folded;
}

const isPlace = (reading: Reading | undefined): reading is Place => typeof reading === 'object';

/**
 * The request itself, as it came: had it been sent on, every server would have served what was authorised. An old API
 * may also be unknown to a server in the spelling used.
 */
export function judgeReading(bytes: string, request: CanonicalRequest): void {
  readAll(bytes).forEach((reading, index) => {
    const server = servers[index];
    const isOldAndUnknown = request.version === 'legacy' && reading === 'nowhere';
    // A server that does not decode takes %40 for a part of a name, and has no account of that name.
    const isUndecoded = server?.decodes === 0 && request.spelling.includes('%');
    if (server === undefined || isOldAndUnknown || isUndecoded) return;
    if (!isPlace(reading)) return fail(`${server.name} would not serve it`, { bytes, reading });
    judgePlace(server, reading, request, bytes);
    // A key in another case is unknown to us and to all but the loosest; it is not sent on.
    if (!server.looseQuery) judgeQuery(server, reading, request);
  });
}

/** The old APIs are recognised in every case of letters, so that case is no way around their denial. */
function judgePlace(server: Server, { api, path }: Place, request: CanonicalRequest, bytes: string): void {
  const how = request.version === 'legacy' ? { ...server, foldsCase: true } : server;
  const isSame = api === request.version && asReadBy(how, path) === asReadBy(how, request.path);
  if (!isSame) fail(`${server.name} reads another path`, { bytes, theirs: path, ours: request.path });
}

function judgeQuery(server: Server, { query }: Place, request: CanonicalRequest): void {
  const flag = (key: string): boolean => query.get(key)?.toLowerCase() === 'true';
  const isSame =
    flag('recursive') === (request.query.recursive === true) &&
    flag('wait_for_change') === (request.query.waitForChange === true) &&
    query.get('alt') === request.query.alt &&
    query.get('audience') === request.query.audience;
  if (!isSame) fail(`${server.name} reads another query`, { theirs: [...query], ours: request.query });
}

/** The bytes that go to the node's server: unambiguous, rebuilt, and for something that is revealed. */
export function judgeQuestion(bytes: string, reference: Reference): Place {
  const readings = readingsOf(bytes);
  const [first] = readings;
  if (!isPlace(first)) return fail('the strictest server refuses what it is asked', { bytes, reading: first });
  readings.forEach((reading, index) => {
    const server = servers[index];
    if (server !== undefined && !isSameQuestion(server, first, reading)) {
      fail(`${server.name} is asked something else`, { bytes, theirs: reading, ours: first });
    }
  });
  judgeForm(bytes, first, reference);
  return first;
}

function isSameQuestion(server: Server, first: Place, reading: Reading): boolean {
  if (!isPlace(reading) || reading.api !== 'v1' || reading.slash !== first.slash) return false;
  return asReadBy(server, reading.path) === asReadBy(server, first.path) && reading.query.size === first.query.size;
}

function judgeForm(bytes: string, { path, slash, query }: Place, reference: Reference): void {
  const foreign = [...query.keys()].find((key) => !queryKeys.has(key));
  if (foreign !== undefined) fail('a foreign query key is sent on', { bytes, foreign });
  const verdict = reference.verdict(path, 'v1');
  const isRevealed = verdict === 'value' || (verdict === 'names' && slash);
  if (!isRevealed) fail('the node is asked for what is not revealed', { bytes, verdict });
  if (!slash && query.get('recursive') !== undefined) fail('a value is asked for as a document', { bytes });
}

/** Questions repeat; their readings do not change. */
const known = new Map<string, readonly Reading[]>();
const maxKnown = 20_000;

function readingsOf(bytes: string): readonly Reading[] {
  const cached = known.get(bytes);
  if (cached !== undefined) return cached;
  const readings = readAll(bytes);
  if (known.size < maxKnown) known.set(bytes, readings);
  return readings;
}

/** What the adapter writes for a target. */
export function questionBytes(target: string): string {
  return `GET ${target} HTTP/1.1\r\nHost: metadata.google.internal\r\nMetadata-Flavor: Google\r\nUser-Agent: metaveil\r\n\r\n`;
}

/** Permit and plan say what the rules say, and ask for what was authorised. */
export function judgePermit(request: CanonicalRequest, permit: Permit, reference: Reference): void {
  const verdict = reference.verdict(request.path, request.version === 'legacy' ? 'legacy' : 'v1');
  const permitted = permit.origin === 'workload' ? 'own' : permit.extent === 'node' ? 'value' : 'names';
  if (verdict !== permitted) fail('the rules say otherwise', { path: request.path, verdict, permitted });
  const canonical = slashed(withoutAlias(request.path, reference.account));
  if (slashed(permit.path) !== canonical)
    fail('the permit is for another path', { request: request.path, permit: permit.path });
}

/** The account's e-mail is its second name. */
function withoutAlias(path: readonly string[], account: Reference['account']): readonly string[] {
  const isKnown = account === 'bound' || account === 'federated';
  const isAlias = isKnown && path[0] === 'instance' && path[1] === 'service-accounts' && path[2] === ownEmails[account];
  return isAlias ? ['instance', 'service-accounts', 'default', ...path.slice(3)] : path;
}

export function judgePlan(plan: UpstreamPlan, request: CanonicalRequest, permit: Permit, reference: Reference): void {
  if (plan.kind !== 'ask') return;
  if (permit.origin === 'workload') fail("the pod's own account is asked of the node", plan);
  const { path, slash, query } = judgeQuestion(questionBytes(plan.target), reference);
  if (slashed(path) !== slashed(permit.path))
    fail('another path is asked than was authorised', { path, permit: permit.path });
  if (slash !== request.trailingSlash) fail('a directory is asked for as a value, or the reverse', plan);
  const wanted = slash && request.query.recursive === true;
  if (wanted !== (query.get('recursive') === 'true')) fail('another document is asked for', plan);
  if (query.get('audience') !== (plan.form === 'identity' ? request.query.audience : undefined)) {
    fail('another audience is asked for', plan);
  }
}

/** What was refused: the rules must refuse it too. */
export function judgeRefusal(
  request: CanonicalRequest,
  reason: 'policy' | 'profile' | 'legacy',
  reference: Reference,
): void {
  const verdict = reference.verdict(request.path, request.version === 'legacy' ? 'legacy' : 'v1');
  const expected = reason === 'legacy' ? 'legacy' : 'hidden';
  if (verdict !== expected) fail('refused although the rules reveal it', { path: request.path, verdict, reason });
}
