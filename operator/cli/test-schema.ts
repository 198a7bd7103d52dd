/** The file format of `metaveil test`: read from files only, so it has a group of its own and no custom resource. */
import type { FromSchema, ObjectSchema } from '../api/v1/schema.ts';

const testApiVersion = 'cli.metaveil.dev/v1';

const caseSchema = {
  type: 'object',
  required: ['pod', 'path', 'decision'],
  properties: {
    pod: {
      type: 'string',
      minLength: 1,
      maxLength: 317,
      description: 'A pod, or a workload, whose first pod is meant. Example: `shop/reports`.',
    },
    path: {
      type: 'string',
      minLength: 1,
      maxLength: 1_024,
      description:
        'Below /computeMetadata/v1/, or with a leading slash as sent. Example: `instance/attributes/kube-env`.',
    },
    decision: {
      type: 'string',
      enum: ['Reveal', 'Conceal', 'NoServiceAccount', 'NotIntercepted'],
      description:
        'NoServiceAccount: 404, because the pod has no identity. NotIntercepted: no proxy answers. Example: `Conceal`.',
    },
    reason: {
      type: 'string',
      enum: ['Policy', 'Profile', 'Legacy'],
      description: 'What must conceal it. Default: any. Example: `Policy`.',
    },
    wouldConceal: {
      type: 'boolean',
      description: 'Whether something in mode Audit would conceal it. Default: any. Example: `true`.',
    },
  },
} as const satisfies ObjectSchema;

export const testSchema = {
  type: 'object',
  required: ['apiVersion', 'kind', 'cases'],
  properties: {
    apiVersion: { type: 'string', enum: [testApiVersion], description: `Example: \`${testApiVersion}\`.` },
    kind: { type: 'string', enum: ['Test'], description: 'Example: `Test`.' },
    metadata: {
      type: 'object',
      properties: { name: { type: 'string', maxLength: 253, description: 'Example: `shop`.' } },
    },
    cases: {
      type: 'array',
      minItems: 1,
      maxItems: 1_000,
      items: caseSchema,
      description: 'Example: `[{pod: shop/reports, path: instance/attributes/kube-env, decision: Conceal}]`.',
    },
  },
} as const satisfies ObjectSchema;

/** What one case expects; an absent field expects nothing. */
export type TestCaseSpec = FromSchema<typeof caseSchema>;
export type TestFile = FromSchema<typeof testSchema>;
