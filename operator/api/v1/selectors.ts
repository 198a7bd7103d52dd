import { formats } from './formats.ts';
import type { CelRule, FromSchema, ObjectSchema } from './schema.ts';

const labelKey = {
  type: 'string',
  minLength: 1,
  maxLength: 317,
  pattern: formats.labelKey.pattern,
  description: 'Label key. Required. Example: `app.kubernetes.io/name`.',
} as const;

const labelValue = {
  type: 'string',
  maxLength: 63,
  pattern: formats.labelValue.pattern,
  description: 'Label value. Example: `web`.',
} as const;

/** Map keys have no schema of their own, so a rule checks them: a wrong one would fail later, in what we make of it. */
export const labelKeyRule = {
  rule: `self.all(key, key.matches('${formats.labelKey.pattern}'))`,
  message: `each key must be ${formats.labelKey.meaning}; rename the key`,
} as const satisfies CelRule;

/** Exact labels by key, bounded, as in matchLabels, nodeSelector or the labels of a pod. */
export function labelsSchema<const D extends string>(description: D, ...rules: readonly CelRule[]) {
  return {
    type: 'object',
    description,
    minProperties: 1,
    maxProperties: 32,
    additionalProperties: labelValue,
    'x-kubernetes-validations': [labelKeyRule, ...rules],
  } as const satisfies ObjectSchema;
}

/**
 * metav1.LabelSelector with bounds. An absent selector selects all; an empty one is refused (`minProperties`), so
 * that a template which loses its labels fails instead of selecting everything.
 */
export function labelSelectorSchema<const D extends string>(description: D) {
  return {
    type: 'object',
    description,
    minProperties: 1,
    'x-kubernetes-map-type': 'atomic',
    properties: {
      matchLabels: labelsSchema(
        'Labels that must all be present with these values. Default: absent, none. Example: `{app: web}`.',
      ),
      matchExpressions: {
        type: 'array',
        description:
          'Requirements that must all hold. Default: absent, none. Example: `[{key: app, operator: In, values: [web, api]}]`.',
        minItems: 1,
        maxItems: 32,
        'x-kubernetes-list-type': 'atomic',
        items: {
          type: 'object',
          description: 'One requirement on a label. Example: `{key: app, operator: Exists}`.',
          required: ['key', 'operator'],
          properties: {
            key: labelKey,
            operator: {
              type: 'string',
              enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'],
              description:
                'How the label relates to `values`: `In` one of them, `NotIn` any of them; `Exists` and `DoesNotExist` ask for the key alone. Required.',
            },
            values: {
              type: 'array',
              description:
                'Values for `In` and `NotIn`; forbidden with `Exists` and `DoesNotExist`. Default: absent. Example: `[web, api]`.',
              minItems: 1,
              maxItems: 64,
              items: labelValue,
              'x-kubernetes-list-type': 'atomic',
            },
          },
          'x-kubernetes-validations': [
            {
              rule: "has(self.values) == (self.operator == 'In' || self.operator == 'NotIn')",
              message:
                'values is required with operator In or NotIn and forbidden with Exists and DoesNotExist; add or remove values, or change operator',
            },
          ],
        },
      },
    },
  } as const satisfies ObjectSchema;
}

export type LabelSelector = FromSchema<ReturnType<typeof labelSelectorSchema>>;
