/** What must hold of a reply: no value in it that is not revealed, and, if an honest client asked, all that is. */
import assert from 'node:assert/strict';
import { Bypass } from './judge.ts';
import { ownEmails, type Reference, type World } from './reference.ts';
import type { Intention } from './requests.ts';
import {
  listVm,
  markPattern,
  nodeTokens,
  vmDirectories,
  vmEmail,
  vmLeaves,
  vmValues,
  type Leaf,
  type Value,
} from './vm.ts';
import { emulatedValues } from './worlds.ts';

export interface SeenReply {
  readonly status: number;
  /** The denial's code, if it is one. */
  readonly code: string | undefined;
  readonly body: string;
}

const marksOf = (text: string): readonly string[] => text.match(markPattern) ?? [];
const slashed = (path: readonly string[]): string => path.join('/');
const isBelow = (path: readonly string[], directory: readonly string[]): boolean =>
  directory.every((segment, level) => path[level] === segment);

/** What one pod may see, by the rules alone. */
export class Visible {
  readonly #reference: Reference;
  readonly #leaves: readonly Leaf[];
  readonly #values: ReadonlyMap<string, Value>;
  readonly #marks: ReadonlySet<string>;
  readonly #platform: World['platform'];

  constructor(world: World, reference: Reference) {
    this.#reference = reference;
    this.#platform = world.platform;
    this.#leaves = world.platform === 'GCE' ? vmLeaves : emulatedValues;
    const values = world.platform === 'GCE' ? vmValues : emulatedValues;
    this.#values = new Map(values.map((value) => [slashed(value.path), value]));
    const leaves = this.#leaves.filter((leaf) => this.#isSeen(leaf) || this.#isRevealed(leaf.path));
    const tokens = Object.entries(nodeTokens).filter(([leaf]) => this.#isNodeToken(leaf));
    this.#marks = new Set([...leaves.flatMap(({ text }) => marksOf(text)), ...tokens.map(([, mark]) => mark)]);
  }

  /** No reply, however it came about, has a value that is hidden. */
  judgeLeaks(text: string): void {
    const leaked = marksOf(text).find((mark) => !this.#marks.has(mark));
    if (leaked !== undefined) {
      const path = this.#leaves.find((leaf) => leaf.text.includes(leaked))?.path ?? ['a token of the node'];
      throw new Bypass(`a hidden value leaks: ${slashed(path)} in ${JSON.stringify(text)}`);
    }
  }

  /** An honest client gets what is revealed, whole, and the right refusal of what is not. Returns whether it was served. */
  judgeHonest(asked: Intention, reply: SeenReply, json: boolean): boolean {
    const { path, api, slash } = asked;
    const verdict = this.#reference.verdict(path, api);
    const what = JSON.stringify({ asked, verdict, reply });
    if (verdict === 'legacy' || verdict === 'hidden') {
      const code = verdict === 'legacy' ? 'legacy' : 'concealed';
      assert.deepEqual([reply.status, reply.code], [403, code], what);
      return false;
    }
    if (verdict === 'own') return this.#judgeOwn(asked, reply, what);
    if (slash) return this.#judgeDirectory(asked, reply, { json, what });
    const value = this.#values.get(slashed(path));
    if (value === undefined || verdict !== 'value') return reply.status === 200;
    assert.equal(reply.status, 200, what);
    this.#judgeValue(value, reply, { json, what });
    return true;
  }

  #judgeValue({ path, text }: Value, { body }: SeenReply, { json, what }: How): void {
    const items = this.#leaves.filter(({ listPath }) => listPath !== undefined && slashed(listPath) === slashed(path));
    if (items.length > 0 || json) {
      const seen = items.length > 0 ? items.filter((leaf) => this.#isSeen(leaf)).map((leaf) => leaf.text) : [text];
      assert.deepEqual(marksOf(body), seen.flatMap(marksOf), what);
    } else assert.equal(body, text, what);
  }

  #judgeOwn({ path, slash }: Intention, reply: SeenReply, what: string): boolean {
    const [, , name, leaf] = path;
    if (name === undefined) assert.equal(reply.status, slash ? 200 : 301, what);
    else if (!this.#isOwnName(name)) assert.equal(reply.status, 404, what);
    else if (leaf !== undefined && !slash) this.#judgeOwnLeaf(leaf, reply, what);
    return reply.status === 200;
  }

  #isOwnName(name: string): boolean {
    const { account } = this.#reference;
    return (account === 'bound' || account === 'federated') && (name === 'default' || name === ownEmails[account]);
  }

  #judgeOwnLeaf(leaf: string, { status, body }: SeenReply, what: string): void {
    const isBound = this.#reference.account === 'bound';
    const email = isBound ? ownEmails.bound : ownEmails.federated;
    // A federated identity has no identity tokens.
    assert.equal(status, leaf === 'identity' && !isBound ? 404 : 200, what);
    if (leaf === 'email') assert.equal(body.replaceAll('"', ''), email, what);
  }

  #judgeDirectory({ path, recursive }: Intention, reply: SeenReply, { json, what }: How): boolean {
    const isVms = this.#platform === 'GCE';
    if (!isVms && !emulatedDirectories.has(slashed(path))) return reply.status === 200;
    if (isVms && !vmDirectories.some((each) => slashed(each) === slashed(path))) return reply.status === 200;
    assert.equal(reply.status, 200, what);
    if (recursive) {
      const below = this.#leaves.filter((leaf) => isBelow(leaf.path, path) && this.#isSeen(leaf));
      const expected = new Set(below.flatMap(({ text }) => marksOf(text)));
      assert.deepEqual(new Set(marksOf(reply.body)), expected, what);
    } else if (isVms) {
      const entries = json ? (JSON.parse(reply.body) as string[]) : reply.body.split('\n').slice(0, -1);
      const seen = (listVm(path) ?? []).filter((entry) => this.#isListed(path, entry));
      assert.deepEqual([...entries].sort(), [...seen].sort(), what);
    }
    return true;
  }

  #isListed(directory: readonly string[], entry: string): boolean {
    const isDirectory = entry.endsWith('/');
    const verdict = this.#reference.verdict([...directory, isDirectory ? entry.slice(0, -1) : entry], 'v1');
    return verdict === 'value' || verdict === 'own' || (verdict === 'names' && isDirectory);
  }

  /** In documents: an item is seen with its list, unless a policy names it. */
  #isSeen({ path, listPath }: Leaf): boolean {
    if (listPath === undefined) return this.#isRevealed(path);
    return this.#isRevealed(listPath) && !this.#reference.concealedByPolicy(path);
  }

  #isRevealed(path: readonly string[]): boolean {
    return this.#reference.verdict(path, 'v1') === 'value';
  }

  #isNodeToken(leaf: string): boolean {
    const accounts = ['default', vmEmail].map((name) => ['instance', 'service-accounts', name, leaf]);
    return this.#platform === 'GCE' && accounts.some((path) => this.#isRevealed(path));
  }
}

interface How {
  readonly json: boolean;
  readonly what: string;
}

const emulatedDirectories = new Set(
  emulatedValues.flatMap(({ path }) => path.map((_segment, depth) => slashed(path.slice(0, depth)))),
);
