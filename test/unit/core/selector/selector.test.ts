import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KubernetesLabelSelector } from '../../../../operator/core/cluster/objects.ts';
import { matchesSelector } from '../../../../operator/core/selector/selector.ts';

const web = { app: 'web', tier: 'front' };
const expression = (key: string, operator: string, ...values: string[]): KubernetesLabelSelector => ({
  matchExpressions: [values.length === 0 ? { key, operator } : { key, operator, values }],
});

const rows: readonly (readonly [sentence: string, selector: KubernetesLabelSelector | undefined, selects: boolean])[] =
  [
    ['an absent selector selects everything', undefined, true],
    ['an empty selector selects everything', {}, true],
    ['equal labels are selected', { matchLabels: { app: 'web' } }, true],
    ['every label has to match', { matchLabels: { app: 'web', tier: 'back' } }, false],
    ['a missing label does not match', { matchLabels: { team: '' } }, false],
    ['In needs one of the values', expression('app', 'In', 'api', 'web'), true],
    ['In does not match another value', expression('app', 'In', 'api'), false],
    ['In does not match a missing label', expression('team', 'In', 'a'), false],
    ['NotIn refuses the values', expression('app', 'NotIn', 'web'), false],
    ['NotIn matches another value', expression('app', 'NotIn', 'api'), true],
    ['NotIn matches a missing label, as in Kubernetes', expression('team', 'NotIn', 'a'), true],
    ['Exists needs the label', expression('app', 'Exists'), true],
    ['Exists does not match a missing label', expression('team', 'Exists'), false],
    ['DoesNotExist needs the absence', expression('team', 'DoesNotExist'), true],
    ['DoesNotExist does not match a label', expression('app', 'DoesNotExist'), false],
    ['an operator nobody knows selects nothing', expression('app', 'Gt', '1'), false],
    ['a key that every JavaScript object inherits is not a label', expression('constructor', 'Exists'), false],
    [
      'labels and expressions are both required',
      { matchLabels: { app: 'web' }, ...expression('tier', 'In', 'x') },
      false,
    ],
  ];

describe('matchesSelector', () => {
  for (const [sentence, selector, selects] of rows) {
    it(sentence, () => {
      assert.equal(matchesSelector(selector, web), selects);
    });
  }
});
