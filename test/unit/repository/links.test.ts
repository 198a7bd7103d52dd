/** Links between the pages of the repository lead to files that exist. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';

const pages = [...globSync('*.md'), ...globSync('docs/**/*.md')].sort();

/** Targets of links that are not in code, without those that lead out of the repository. */
function targetsOf(page: string): readonly string[] {
  const text = readFileSync(page, 'utf8')
    .replaceAll(/^```[^]*?^```/gm, '')
    .replaceAll(/`[^`]*`/g, '');
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target));
}

describe('links between pages', () => {
  it('are many', () => assert.ok(pages.flatMap(targetsOf).length > 50));

  for (const page of pages) {
    it(`of ${page} lead to files that exist`, () => {
      const broken = targetsOf(page)
        .map((target) => target.replace(/#.*$/, ''))
        .filter((target) => target !== '' && !existsSync(join(dirname(page), target)));
      assert.deepEqual(broken, []);
    });
  }
});
