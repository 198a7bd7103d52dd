/** Everything that is generated: from the schema consts, and from the tables of metrics, refusals and limits. */
import { kinds } from '../../api/v1/index.ts';
import { crdFiles } from './crds.ts';
import type { GeneratedFile } from './file.ts';
import { metricsFile } from './metrics.ts';
import { projectFile } from './project.ts';
import { referenceFiles } from './reference.ts';
import { refusalsFile } from './refusals.ts';

/** Folders that hold nothing but generated files: what else is found there is left over. */
export const generatedFolders = ['crds', 'docs/reference'] as const;

/** All generated files, in a fixed order. */
export function generatedFiles(): readonly GeneratedFile[] {
  return [...crdFiles(kinds), ...referenceFiles(kinds), metricsFile(), refusalsFile(), projectFile(kinds)];
}

export { compareFiles, describeStaleness, type Staleness } from './compare.ts';
export type { GeneratedFile } from './file.ts';
