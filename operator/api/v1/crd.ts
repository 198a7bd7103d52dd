/** The CustomResourceDefinition of a kind: what the API server enforces and `kubectl explain` prints. */
import type { CelRule, KindDefinition, ObjectSchema, PrinterColumn } from './schema.ts';

const group = 'metaveil.dev';
const category = 'metaveil';
const kubernetesNameMaxLength = 253;

/** apiextensions.k8s.io/v1 CustomResourceDefinition, as far as ours use it. */
export interface CustomResourceDefinition {
  readonly apiVersion: 'apiextensions.k8s.io/v1';
  readonly kind: 'CustomResourceDefinition';
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly names: {
      readonly kind: string;
      readonly listKind: string;
      readonly plural: string;
      readonly singular: string;
      readonly shortNames: readonly string[];
      readonly categories: readonly string[];
    };
    readonly scope: KindDefinition['scope'];
    readonly versions: readonly CrdVersion[];
  };
}

interface CrdVersion {
  readonly name: 'v1';
  readonly served: true;
  readonly storage: true;
  readonly schema: { readonly openAPIV3Schema: RootSchema };
  readonly subresources: { readonly status: Record<string, never> };
  readonly additionalPrinterColumns: readonly PrinterColumn[];
  readonly selectableFields: readonly { readonly jsonPath: string }[];
}

export interface RootSchema extends ObjectSchema {
  readonly 'x-kubernetes-validations'?: readonly CelRule[];
}

/** metadata.name of the definition, as `kubectl get crd` lists it. */
function crdName(kind: KindDefinition): string {
  return `${kind.plural}.${group}`;
}

/** The longest metadata.name the kind accepts. */
export function nameMaxLength(kind: KindDefinition): number {
  return kind.nameMaxLength ?? kubernetesNameMaxLength;
}

/** Builds the definition of `kind`; equal input gives an equal, equally ordered object. */
export function customResourceDefinition(kind: KindDefinition): CustomResourceDefinition {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: crdName(kind) },
    spec: {
      group,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.singular,
        shortNames: [kind.shortName],
        categories: [category],
      },
      scope: kind.scope,
      versions: [versionOf(kind)],
    },
  };
}

function versionOf(kind: KindDefinition): CrdVersion {
  return {
    name: 'v1',
    served: true,
    storage: true,
    schema: { openAPIV3Schema: rootSchema(kind) },
    subresources: { status: {} },
    additionalPrinterColumns: kind.columns,
    selectableFields: kind.selectableFields.map((jsonPath) => ({ jsonPath })),
  };
}

/** `spec` is required, because an object without it would get no defaults; the bound of the name keeps rules cheap. */
function rootSchema(kind: KindDefinition): RootSchema {
  return {
    type: 'object',
    description: kind.description,
    required: ['metadata', 'spec'],
    properties: {
      apiVersion: { type: 'string', description: `Version of the schema of this object: \`${group}/v1\`.` },
      kind: { type: 'string', description: `Kind of this object: \`${kind.kind}\`.` },
      metadata: {
        type: 'object',
        properties: { name: { type: 'string', maxLength: nameMaxLength(kind) } },
      },
      spec: kind.spec,
      status: kind.status,
    },
    ...(kind.rootRules.length > 0 && { 'x-kubernetes-validations': kind.rootRules }),
  };
}
