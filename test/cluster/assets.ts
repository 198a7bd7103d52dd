import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { buildAssets } from './build.ts';

/** Absolute paths of the programs a control plane is made of. */
export interface Assets {
  readonly etcd: string;
  readonly apiServer: string;
  readonly controllerManager: string;
  readonly scheduler: string;
  readonly kubectl: string;
}

/**
 * Finds the control plane's programs: those in the folder KUBEBUILDER_ASSETS names, else our own,
 * which are built on first use (minutes) and kept in the user's cache.
 *
 * @throws {Error} when KUBEBUILDER_ASSETS lacks one, or the build cannot be done; the message says what to do.
 */
export async function findAssets(): Promise<Assets> {
  const given = process.env['KUBEBUILDER_ASSETS'];
  if (given === undefined || given === '') return assetsIn(await buildAssets());
  const assets = assetsIn(given);
  await requirePrograms(given, assets);
  return assets;
}

function assetsIn(folder: string): Assets {
  return {
    etcd: join(folder, 'etcd'),
    apiServer: join(folder, 'kube-apiserver'),
    controllerManager: join(folder, 'kube-controller-manager'),
    scheduler: join(folder, 'kube-scheduler'),
    kubectl: join(folder, 'kubectl'),
  };
}

/** The scheduler may be missing: few tests ask for it, and the published asset bundles do not carry it. */
async function requirePrograms(folder: string, assets: Assets): Promise<void> {
  const needed = [assets.etcd, assets.apiServer, assets.controllerManager, assets.kubectl];
  const missing: string[] = [];
  for (const path of needed) {
    await access(path, constants.X_OK).catch(() => missing.push(path));
  }
  if (missing.length === 0) return;
  throw new Error(
    `KUBEBUILDER_ASSETS is ${folder}, but these programs are missing there: ${missing.join(', ')}. ` +
      'Put them there, or unset the variable to have them built from source.',
  );
}
