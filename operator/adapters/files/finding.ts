/** From the root of a document, as `['spec', 'conceal', 0]`. */
export type ValuePath = readonly (string | number)[];

/** A mistake at a value of a document, before its place in the file is known. */
export interface Finding {
  readonly path: ValuePath;
  /** Whether the field's name or its value is wrong. A path that does not exist means its nearest parent. */
  readonly target: 'key' | 'value';
  readonly what: string;
  readonly fix: string;
}

/** `spec.conceal[0]`, or `the object` for the root. */
export function pathText(path: ValuePath): string {
  const text = path.map((step) => (typeof step === 'number' ? `[${String(step)}]` : `.${step}`)).join('');
  return text === '' ? 'the object' : text.slice(1);
}
