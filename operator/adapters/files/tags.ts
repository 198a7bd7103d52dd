import type { ScalarTag, Tags } from 'yaml';

/** The octal form of YAML 1.2, which their library takes as well. */
const octal: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  test: /^[-+]?0o[0-7_]+$/,
  resolve: (text) => Number(text.replace(/^[-+]/, '').replaceAll('_', '')) * (text.startsWith('-') ? -1 : 1),
};

/**
 * Scalars as kubectl and the API server read them: YAML 1.1 (`yes` and `on` are booleans, 0755 is octal), but without
 * sexagesimal numbers, timestamps, binary and the collection types, which their library never had.
 */
export function kubernetesTags(tags: Tags): Tags {
  const kept = tags.filter((tag) => {
    if (typeof tag === 'string') return true;
    return !foreignTags.has(tag.tag) && !('format' in tag && tag.format === 'TIME');
  });
  return [...kept, octal];
}

const foreignTags = new Set(['binary', 'omap', 'pairs', 'set', 'timestamp'].map((name) => `tag:yaml.org,2002:${name}`));
