/**
 * The subset of JSON Schema that a Kubernetes structural schema allows, and the TypeScript type that a schema
 * const stands for. One const per kind is the only source of types, CRD YAML, validators and reference docs.
 */

/** A CEL rule the API server enforces; `message` is what the user reads, so it says how to fix it. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
  readonly fieldPath?: string;
}

interface Common {
  /** Shown by `kubectl explain`: says default, unit and an example. */
  readonly description?: string;
  readonly 'x-kubernetes-validations'?: readonly CelRule[];
}

export interface StringSchema extends Common {
  readonly type: 'string';
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly format?: string;
  readonly default?: string;
}

export interface IntegerSchema extends Common {
  readonly type: 'integer';
  readonly format?: 'int32' | 'int64';
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: number;
}

export interface BooleanSchema extends Common {
  readonly type: 'boolean';
  readonly default?: boolean;
}

export interface ArraySchema extends Common {
  readonly type: 'array';
  readonly items: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
}

export interface ObjectSchema extends Common {
  readonly type: 'object';
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular';
  readonly default?: Readonly<Record<string, unknown>>;
}

export type Schema = StringSchema | IntegerSchema | BooleanSchema | ArraySchema | ObjectSchema;

type Simplify<T> = { readonly [K in keyof T]: T[K] };

/** Present on every object read from the API server: required, or filled in by a default. */
type PresentKeys<P, R> = {
  [K in keyof P]: P[K] extends { readonly default: unknown } ? K : K extends R ? K : never;
}[keyof P];

type ObjectFrom<P, R> = Simplify<
  { [K in PresentKeys<P, R>]: FromSchema<P[K]> } & { [K in Exclude<keyof P, PresentKeys<P, R>>]?: FromSchema<P[K]> }
>;

type RequiredOf<S> = S extends { readonly required: readonly (infer R)[] } ? R : never;

/** The TypeScript type of a value that passed schema `S` and got its defaults. */
export type FromSchema<S> = S extends { readonly type: 'string'; readonly enum: readonly (infer E)[] }
  ? E
  : S extends { readonly type: 'string' }
    ? string
    : S extends { readonly type: 'integer' }
      ? number
      : S extends { readonly type: 'boolean' }
        ? boolean
        : S extends { readonly type: 'array'; readonly items: infer I }
          ? readonly FromSchema<I>[]
          : S extends { readonly type: 'object'; readonly properties: infer P }
            ? ObjectFrom<P, RequiredOf<S>>
            : S extends { readonly type: 'object'; readonly additionalProperties: infer A }
              ? Readonly<Record<string, FromSchema<A>>>
              : never;

/** One extra column of `kubectl get`. `priority: 1` shows only with `-o wide`. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  readonly priority?: number;
}

/** All that makes up one custom resource definition. */
export interface KindDefinition {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
  readonly scope: 'Namespaced' | 'Cluster';
  readonly description: string;
  readonly spec: ObjectSchema;
  readonly status: ObjectSchema;
  /** CEL rules at the root: they see only `metadata.name`, `spec` and `status`. */
  readonly rootRules: readonly CelRule[];
  readonly columns: readonly PrinterColumn[];
  /** Bound of metadata.name where the name becomes a label value of what the controller makes. Default: 253. */
  readonly nameMaxLength?: number;
  /** JSON paths usable in `kubectl get --field-selector`. */
  readonly selectableFields: readonly string[];
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly generation?: number;
  readonly resourceVersion?: string;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly finalizers?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A custom resource as read from the API server; `status` is absent only in files. */
export interface CustomResource<D extends KindDefinition> {
  readonly apiVersion: 'metaveil.dev/v1';
  readonly kind: D['kind'];
  readonly metadata: ObjectMeta;
  readonly spec: FromSchema<D['spec']>;
  readonly status?: FromSchema<D['status']>;
}
