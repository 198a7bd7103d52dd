import type { FromSchema, ObjectSchema } from './schema.ts';

const labelKey = {
  type: 'string',
  minLength: 1,
  maxLength: 317,
  description: 'Label key, for example `app.kubernetes.io/name`.',
} as const;

const labelValue = { type: 'string', maxLength: 63, description: 'Label value.' } as const;

/** metav1.LabelSelector with bounds. An absent selector selects all; an empty one is refused (`minProperties`). */
export function labelSelectorSchema<const D extends string>(description: D) {
  return {
    type: 'object',
    description,
    minProperties: 1,
    'x-kubernetes-map-type': 'atomic',
    properties: {
      matchLabels: {
        type: 'object',
        description: 'Labels that must all be present with these values. Example: `{app: web}`.',
        minProperties: 1,
        maxProperties: 32,
        additionalProperties: labelValue,
      },
      matchExpressions: {
        type: 'array',
        description: 'Requirements that must all hold.',
        minItems: 1,
        maxItems: 32,
        'x-kubernetes-list-type': 'atomic',
        items: {
          type: 'object',
          description: 'One requirement on a label.',
          required: ['key', 'operator'],
          properties: {
            key: labelKey,
            operator: {
              type: 'string',
              enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'],
              description: 'How the label relates to `values`.',
            },
            values: {
              type: 'array',
              description: 'Values for `In` and `NotIn`; absent for `Exists` and `DoesNotExist`.',
              minItems: 1,
              maxItems: 64,
              items: labelValue,
              'x-kubernetes-list-type': 'atomic',
            },
          },
          'x-kubernetes-validations': [
            {
              rule: "has(self.values) == (self.operator == 'In' || self.operator == 'NotIn')",
              message: 'values is required with In and NotIn and forbidden with Exists and DoesNotExist',
            },
          ],
        },
      },
    },
  } as const satisfies ObjectSchema;
}

export type LabelSelector = FromSchema<ReturnType<typeof labelSelectorSchema>>;
