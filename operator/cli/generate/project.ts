import { stringify } from 'yaml';
import type { KindDefinition } from '../../api/v1/index.ts';
import { generatedNotice, type GeneratedFile } from './file.ts';

/** The project file of kubebuilder (version 3), by which its tools and people find the kinds. */
export function projectFile(kinds: readonly KindDefinition[]): GeneratedFile {
  const project = {
    // kubebuilder composes the API group of `group` and `domain`.
    domain: 'dev',
    layout: ['node.metaveil.dev/v1'],
    multigroup: false,
    projectName: 'metaveil',
    resources: kinds.map((kind) => ({
      api: { crdVersion: 'v1', namespaced: kind.scope === 'Namespaced' },
      controller: true,
      domain: 'dev',
      group: 'metaveil',
      kind: kind.kind,
      plural: kind.plural,
      version: 'v1',
    })),
    version: '3',
  };
  return { path: 'PROJECT', text: `# ${generatedNotice}\n${stringify(project)}` };
}
