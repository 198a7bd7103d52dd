/** Attribute mapping without CEL: paths into the token and string literals, which is what Kubernetes tokens need. */

export type Claims = Readonly<Record<string, unknown>>;

/** Target attribute (`google.subject`, `attribute.namespace`) → expression (`assertion.sub`). */
export type AttributeMapping = Readonly<Record<string, string>>;

export const defaultMapping: AttributeMapping = { 'google.subject': 'assertion.sub' };

const path = /^assertion(?<steps>(?:\.[A-Za-z_]\w*|\['[^']+'\])+)$/;
const step = /\.(?<name>\w+)|\['(?<key>[^']+)'\]/g;
const literal = /^'(?<text>[^']*)'$/;
const target = /^(?:google\.subject|attribute\.[a-z0-9_]{1,100})$/;

/** Throws on an expression this emulator cannot evaluate, so that a test never passes by accident. */
export function checkMapping(mapping: AttributeMapping): void {
  if (mapping['google.subject'] === undefined) throw new Error('The attribute mapping has no google.subject.');
  for (const [name, expression] of Object.entries(mapping)) {
    if (!target.test(name)) throw new Error(`Cannot map to '${name}'.`);
    if (!path.test(expression) && !literal.test(expression)) throw new Error(`Cannot evaluate '${expression}'.`);
  }
}

/** Mapped attributes; one whose claim is absent or not a string is left out. */
export function mapAttributes(mapping: AttributeMapping, claims: Claims): ReadonlyMap<string, string> {
  const mapped = new Map<string, string>();
  for (const [name, expression] of Object.entries(mapping)) {
    const value = evaluate(expression, claims);
    if (typeof value === 'string') mapped.set(name, value);
  }
  return mapped;
}

function evaluate(expression: string, claims: Claims): unknown {
  const text = literal.exec(expression)?.groups?.['text'];
  return text ?? stepsOf(expression).reduce<unknown>(member, claims);
}

function stepsOf(expression: string): readonly string[] {
  const steps = path.exec(expression)?.groups?.['steps'] ?? '';
  return [...steps.matchAll(step)].map(({ groups }) => groups?.['name'] ?? groups?.['key'] ?? '');
}

function member(value: unknown, key: string): unknown {
  const own = typeof value === 'object' && value !== null && Object.hasOwn(value, key);
  return own ? (value as Claims)[key] : undefined;
}
