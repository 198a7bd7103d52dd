/** How nodes look on the wire. All functions take nodes from which concealed ones were already removed. */
import type { DirectoryNode, MetadataNode, MetadataValue } from './node.ts';

/** A value as text: scalars without a final newline, lists with one per item. */
export function valueText(value: MetadataValue): string {
  switch (value.kind) {
    case 'text':
      return value.text;
    case 'number':
      return value.digits;
    case 'boolean':
      return String(value.flag);
    case 'list':
      return value.items.map((item) => `${item}\n`).join('');
  }
}

/** One entry per line, directories with a slash. */
export function listingText(node: DirectoryNode): string {
  return entries(node)
    .map((entry) => `${entry}\n`)
    .join('');
}

/** The same entries as a JSON array. */
export function listingJson(node: DirectoryNode): string {
  return JSON.stringify(entries(node));
}

function entries(node: DirectoryNode): readonly string[] {
  return [...node.children].map(([name, child]) => (child.kind === 'directory' ? `${name}/` : name));
}

/** A recursive document as JSON. Tokens are in no document. */
export function documentJson(node: MetadataNode): string {
  switch (node.kind) {
    case 'value':
      return valueJson(node.value);
    case 'dynamic':
      return 'null';
    case 'directory':
      return node.keys === 'array' ? arrayJson(node) : objectJson(node);
  }
}

function valueJson(value: MetadataValue): string {
  switch (value.kind) {
    case 'text':
      return JSON.stringify(value.text);
    case 'number':
      return value.digits;
    case 'boolean':
      return String(value.flag);
    case 'list':
      return JSON.stringify(value.items);
  }
}

function arrayJson(node: DirectoryNode): string {
  const items = [...node.children.values()].filter((child) => child.kind !== 'dynamic');
  return `[${items.map(documentJson).join(',')}]`;
}

function objectJson(node: DirectoryNode): string {
  const members = [...node.children].filter(([, child]) => child.kind !== 'dynamic');
  const key = (name: string) => JSON.stringify(node.keys === 'camelCase' ? camelCase(name) : name);
  return `{${members.map(([name, child]) => `${key(name)}:${documentJson(child)}`).join(',')}}`;
}

/** A recursive document as text: one value per line, `relative/path value`. */
export function documentText(node: MetadataNode): string {
  return textLines(node, []).join('');
}

function textLines(node: MetadataNode, path: readonly string[]): readonly string[] {
  if (node.kind === 'directory') {
    return [...node.children].flatMap(([name, child]) => textLines(child, [...path, name]));
  }
  if (node.kind === 'dynamic') return [];
  const values = node.value.kind === 'list' ? node.value.items : [valueText(node.value)];
  return values.map((value) => `${path.join('/')} ${value}\n`);
}

/** project-id → projectId */
export function camelCase(name: string): string {
  return name.replaceAll(/-([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}

/** projectId → project-id */
export function kebabCase(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
