import { isAlias, isMap, isScalar, isSeq, type Alias, type Document, type Node, type Pair, type YAMLMap } from 'yaml';
import { quote } from '../../local/problem.ts';
import type { ValuePath } from './finding.ts';
import { limits } from './limits.ts';

/** Offsets in the text of a field's name and of its value. */
export interface Span {
  readonly key: number;
  readonly value: number;
}

/** A mistake that makes the document unreadable. */
export interface Unreadable {
  readonly offset: number;
  readonly what: string;
  readonly fix: string;
}

export interface Converted {
  readonly value: unknown;
  /** Keyed by spanKey(path). */
  readonly spans: ReadonlyMap<string, Span>;
  readonly unreadable: readonly Unreadable[];
}

export function spanKey(path: ValuePath): string {
  return JSON.stringify(path);
}

/**
 * Turns a parsed document into plain values as `kubectl` would, and remembers where each one stands. The package's own
 * conversion makes cyclic objects of `&a [*a]` and searches the whole document for every alias; this one expands
 * aliases within bounds and refuses cycles.
 */
export function convert(document: Document): Converted {
  const conversion = new Conversion();
  const value = document.contents === null ? null : conversion.valueOf(document.contents, [], undefined);
  return { value, spans: conversion.spans, unreadable: conversion.unreadable };
}

type Field = Pair<Node, Node | null>;

class Conversion {
  readonly spans = new Map<string, Span>();
  readonly unreadable: Unreadable[] = [];
  readonly #anchors = new Map<string, Node>();
  readonly #open = new Set<Node>();
  readonly #refused = new Set<string>();
  #values = 0;
  /** The alias being expanded, the outermost one: what goes wrong in an expansion is reported there. */
  #expanding: number | undefined;

  /** @param keyOffset where the field's name stands, undefined for list items and the root */
  valueOf(node: Node, path: ValuePath, keyOffset: number | undefined): unknown {
    const offset = offsetOf(node);
    this.spans.set(spanKey(path), { key: keyOffset ?? offset, value: offset });
    if (this.#exceeds(offset, path)) return undefined;
    if (isAlias(node)) return this.#aliased(node, path, keyOffset);
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return this.#scalar(node.value, offset);
    if (this.#open.has(node)) return this.#refuse(offset, 'an anchor contains itself', 'write the value out');
    this.#open.add(node);
    const value = isSeq(node) ? this.#list(node.items as Node[], path) : isMap(node) ? this.#map(node, path) : null;
    this.#open.delete(node);
    return value;
  }

  #exceeds(offset: number, path: ValuePath): boolean {
    this.#values += 1;
    if (this.#values < limits.values && path.length < limits.depth) return false;
    if (this.unreadable.length === 0) {
      const size = `more than ${String(limits.values)} values or ${String(limits.depth)} levels`;
      this.#refuse(offset, `the document has ${size} once its aliases are expanded`, 'split it, or use fewer aliases');
    }
    return true;
  }

  #aliased(alias: Alias, path: ValuePath, keyOffset: number | undefined): unknown {
    const offset = offsetOf(alias);
    const target = this.#anchors.get(alias.source);
    if (target !== undefined) {
      const outer = this.#expanding;
      this.#expanding ??= offset;
      const value = this.valueOf(target, path, keyOffset);
      this.#expanding = outer;
      this.spans.set(spanKey(path), { key: keyOffset ?? offset, value: offset });
      return value;
    }
    const what = `the alias ${quote(alias.source)} names no anchor before it`;
    return this.#refuse(offset, what, 'define the anchor first, or write the value out');
  }

  #scalar(value: unknown, offset: number): unknown {
    if (typeof value !== 'number' || Number.isFinite(value)) return value;
    return this.#refuse(offset, 'a number is not finite', 'write a number that JSON can express');
  }

  #list(items: readonly Node[], path: ValuePath): unknown[] {
    return items.map((item, index) => this.valueOf(item, [...path, index], undefined));
  }

  #map(map: YAMLMap, path: ValuePath): Record<string, unknown> {
    const fields = map.items as Field[];
    const merged = this.#merged(fields, path);
    const own: Record<string, unknown> = {};
    for (const { key, value } of fields) {
      const name = isMergeKey(key) ? null : this.#nameOf(key);
      if (name === null) continue;
      if (Object.hasOwn(own, name))
        this.#refuse(offsetOf(key), `${quote(name)} is there twice`, 'remove one of the two');
      own[name] = this.#fieldValue(value, [...path, name], offsetOf(key));
    }
    return { ...merged, ...own };
  }

  #fieldValue(value: Node | null, path: ValuePath, keyOffset: number): unknown {
    if (value !== null) return this.valueOf(value, path, keyOffset);
    this.spans.set(spanKey(path), { key: keyOffset, value: keyOffset });
    return null;
  }

  /** `<<: *base`: fields of the mappings named, the first one that has a field wins; fields written out win over all. */
  #merged(fields: readonly Field[], path: ValuePath): Record<string, unknown> {
    const own = this.spans.get(spanKey(path));
    let merged: Record<string, unknown> = {};
    for (const { key, value } of fields) {
      if (!isMergeKey(key) || value === null) continue;
      const source = this.valueOf(value, path, undefined);
      for (const part of Array.isArray(source) ? source : [source]) {
        if (isPlainObject(part)) merged = { ...part, ...merged };
        else this.#refuse(offsetOf(key), '<< merges something that is no mapping', 'write the fields out');
      }
    }
    if (own !== undefined) this.spans.set(spanKey(path), own);
    return merged;
  }

  #nameOf(key: Node): string | null {
    const offset = offsetOf(key);
    const value = isScalar(key) ? key.value : undefined;
    if (typeof value !== 'string') {
      const name = isScalar(key) ? quote(key.source ?? String(value)) : 'a list or mapping';
      return this.#refuse(offset, `${name} is used as a key, but is no string`, 'put the key in double quotes');
    }
    if (value !== '__proto__') return value;
    return this.#refuse(offset, 'the key __proto__ is not allowed', 'remove it');
  }

  /** What is wrong with an anchored value is said once, where it stands, and not again at its aliases. */
  #refuse(offset: number, what: string, fix: string): null {
    const mistake = `${String(offset)} ${what}`;
    if (!this.#refused.has(mistake)) this.unreadable.push({ offset: this.#expanding ?? offset, what, fix });
    this.#refused.add(mistake);
    return null;
  }
}

function offsetOf(node: Node): number {
  return node.range?.[0] ?? 0;
}

function isMergeKey(key: Node): boolean {
  return isScalar(key) && typeof key.value === 'symbol' && key.value.description === '<<';
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
