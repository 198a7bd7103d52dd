/**
 * Decoders for what comes over the wire. Both ends take the other's bytes for hostile: every text, list and map has a
 * bound, only named fields are copied, and a value of another shape is refused with the place where it went wrong.
 *
 * Unknown fields are ignored, never copied: that is what lets a proxy work with the next controller.
 */

export type Decoded<T> =
  | { readonly kind: 'valid'; readonly value: T }
  /** `at` is a path like `resources.3.hash`; `problem` never quotes the input. */
  | { readonly kind: 'invalid'; readonly at: string; readonly problem: string };

export type Decoder<T> = (input: unknown) => Decoded<T>;

/** A field that may be absent (or null). */
export interface OptionalField<T> {
  readonly optional: Decoder<T>;
}

type Shape = Readonly<Record<string, Decoder<unknown> | OptionalField<unknown>>>;
type OptionalKeys<S extends Shape> = {
  [K in keyof S]: S[K] extends OptionalField<unknown> ? K : never;
}[keyof S];
type ValueOf<F> = F extends Decoder<infer T> ? T : F extends OptionalField<infer T> ? T : never;

/** The type that `object(shape)` decodes to. */
export type FromShape<S extends Shape> = { readonly [K in Exclude<keyof S, OptionalKeys<S>>]: ValueOf<S[K]> } & {
  readonly [K in OptionalKeys<S>]?: ValueOf<S[K]>;
};

export function valid<T>(value: T): Decoded<T> {
  return { kind: 'valid', value };
}

export function invalid(problem: string): Decoded<never> {
  return { kind: 'invalid', at: '', problem };
}

function within(key: string | number, failure: Extract<Decoded<never>, { kind: 'invalid' }>): Decoded<never> {
  return { ...failure, at: failure.at === '' ? String(key) : `${key}.${failure.at}` };
}

export interface TextRule {
  /** UTF-16 units. */
  readonly max: number;
  /** Must match as a whole; without it any text within the bound is fine. */
  readonly form?: RegExp;
}

export function text(rule: TextRule): Decoder<string> {
  return (input) => {
    if (typeof input !== 'string') return invalid('expected a string');
    if (input.length > rule.max) return invalid(`longer than ${rule.max}`);
    return rule.form?.test(input) === false ? invalid('not of the expected form') : valid(input);
  };
}

export function integer(min: number, max: number): Decoder<number> {
  return (input) =>
    Number.isSafeInteger(input) && (input as number) >= min && (input as number) <= max
      ? valid(input as number)
      : invalid(`expected an integer from ${min} to ${max}`);
}

export const boolean: Decoder<boolean> = (input) =>
  typeof input === 'boolean' ? valid(input) : invalid('expected a boolean');

export function oneOf<const T extends string>(...values: readonly T[]): Decoder<T> {
  return (input) => {
    const found = values.find((value) => value === input);
    return found === undefined ? invalid(`expected one of ${values.join(', ')}`) : valid(found);
  };
}

export function list<T>(item: Decoder<T>, max: number): Decoder<readonly T[]> {
  return (input) => {
    if (!Array.isArray(input)) return invalid('expected a list');
    if (input.length > max) return invalid(`more than ${max} items`);
    const values: T[] = [];
    for (const [index, element] of input.entries()) {
      const decoded = item(element);
      if (decoded.kind === 'invalid') return within(index, decoded);
      values.push(decoded.value);
    }
    return valid(values);
  };
}

/** A map of texts. Its keys are the sender's choice: ask it with Object.hasOwn. */
export function textMap(key: TextRule, value: TextRule, max: number): Decoder<Readonly<Record<string, string>>> {
  const keyDecoder = text(key);
  const valueDecoder = text(value);
  return (input) => {
    if (!isRecord(input)) return invalid('expected an object');
    const entries = Object.entries(input);
    if (entries.length > max) return invalid(`more than ${max} entries`);
    const values: [string, string][] = [];
    for (const [name, element] of entries) {
      const decoded = keyDecoder(name).kind === 'valid' ? valueDecoder(element) : invalid('key not acceptable');
      // The key itself is the sender's text and may be anything: it is not repeated.
      if (decoded.kind === 'invalid') return within('*', decoded);
      values.push([name, decoded.value]);
    }
    // Defines each key as its own property, `__proto__` too.
    return valid(Object.fromEntries(values));
  };
}

export function optional<T>(decoder: Decoder<T>): OptionalField<T> {
  return { optional: decoder };
}

export function object<const S extends Shape>(shape: S): Decoder<FromShape<S>> {
  const fields = Object.entries(shape);
  return (input) => {
    if (!isRecord(input)) return invalid('expected an object');
    const result: Record<string, unknown> = {};
    for (const [name, field] of fields) {
      // A field of the prototype is not a field of the message.
      const given = Object.hasOwn(input, name) ? input[name] : undefined;
      if (typeof field === 'object' && (given === undefined || given === null)) continue;
      const decoded = (typeof field === 'object' ? field.optional : field)(given);
      if (decoded.kind === 'invalid') return within(name, decoded);
      result[name] = decoded.value;
    }
    // Every field of the shape was decoded by its own decoder just now.
    return valid(result as FromShape<S>);
  };
}

type Variants = Readonly<Record<string, Decoder<unknown>>>;

/** A union told apart by the text in field `tag`. */
export function tagged<const V extends Variants>(tag: string, variants: V): Decoder<ValueOf<V[keyof V]>> {
  const decoders = new Map<unknown, Decoder<unknown>>(Object.entries(variants));
  return (input) => {
    if (!isRecord(input)) return invalid('expected an object');
    const decoder = decoders.get(Object.hasOwn(input, tag) ? input[tag] : undefined);
    if (decoder === undefined) return within(tag, { kind: 'invalid', at: '', problem: 'unknown' });
    // The decoder was found under its own tag.
    return decoder(input) as Decoded<ValueOf<V[keyof V]>>;
  };
}

/** Always this value, whatever was sent: the tag of a variant. */
export function constant<const T extends string>(value: T): Decoder<T> {
  return () => valid(value);
}

/** Parses text of a bounded size and decodes it. */
export function decodeJson<T>(decoder: Decoder<T>, json: string): Decoded<T> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return invalid('not JSON');
  }
  return decoder(parsed);
}

function isRecord(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null && !Array.isArray(input);
}
