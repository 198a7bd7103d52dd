import type { Tags } from 'yaml';

/**
 * Scalars as kubectl and the API server read them: YAML 1.1 (`yes` and `on` are booleans, 0755 is octal), but without
 * sexagesimal numbers, timestamps, binary and the collection types, which their library never had.
 */
export function kubernetesTags(tags: Tags): Tags {
  return tags.filter((tag) => {
    if (typeof tag === 'string') return true;
    return !foreignTags.has(tag.tag) && !('format' in tag && tag.format === 'TIME');
  });
}

const foreignTags = new Set(['binary', 'omap', 'pairs', 'set', 'timestamp'].map((name) => `tag:yaml.org,2002:${name}`));
