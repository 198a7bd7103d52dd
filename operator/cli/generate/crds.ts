import { stringify } from 'yaml';
import { customResourceDefinition } from '../../api/v1/crd.ts';
import type { KindDefinition } from '../../api/v1/index.ts';
import { generatedNotice, type GeneratedFile } from './file.ts';

const folder = 'crds';

/** One manifest per kind, and the kustomization that installs them all. */
export function crdFiles(kinds: readonly KindDefinition[]): readonly GeneratedFile[] {
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: kinds.map(fileName),
  };
  return [
    ...kinds.map((kind) => ({
      path: `${folder}/${fileName(kind)}`,
      text: manifest(customResourceDefinition(kind)),
    })),
    { path: `${folder}/kustomization.yaml`, text: manifest(kustomization) },
  ];
}

function fileName(kind: KindDefinition): string {
  return `metaveil.dev_${kind.plural}.yaml`;
}

/** The kinds share parts of their schema; written as YAML aliases they would be unreadable, and Helm refuses them. */
function manifest(object: object): string {
  return `# ${generatedNotice}\n${stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 })}`;
}
