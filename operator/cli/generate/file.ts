/** A file the generators write whole; nobody edits it by hand. */
export interface GeneratedFile {
  /** Relative to the root of the repository, with `/`. */
  readonly path: string;
  /** Ends in a newline. */
  readonly text: string;
}

/** First line of generated YAML; readers look for it before they edit. */
export const generatedNotice = 'Written by `npm run generate` from operator/api/v1. Do not edit.';
