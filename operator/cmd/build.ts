/**
 * `npm run build`: bundles what ships into dist/, or the folder that is named, one file per process. The proxy's bundle
 * contains only what the proxy reaches; shared chunks would make it load code of the controller.
 */
import { rm, stat } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Plugin } from 'esbuild';

const entries = ['metaveil', 'controller', 'run', 'explain', 'pod-client', 'proxy', 'intercept'] as const;
const [outputFolder = 'dist'] = process.argv.slice(2);

/** Some dependencies are CommonJS and look for their folder. */
const banner = `import { dirname as __directoryOf } from 'node:path';
import { fileURLToPath as __pathOf } from 'node:url';
const __filename = __pathOf(import.meta.url);
const __dirname = __directoryOf(__filename);`;

/** A process that is loaded only when asked for stays a file of its own. */
const ownFiles: Plugin = {
  name: 'own-files',
  setup: (bundling) => {
    bundling.onResolve({ filter: /^\.\/[a-z-]+\.ts$/ }, ({ path, kind }) => {
      const isProcess = kind === 'dynamic-import' && entries.some((entry) => path === `./${entry}.ts`);
      return isProcess ? { path: path.replace(/\.ts$/, '.js'), external: true } : undefined;
    });
  },
};

/**
 * Node's own modules are required, not imported: an import reads every export, and of node:http these load fetch,
 * WebSocket and web streams, which costs more than all the rest of the proxy's start.
 */
const requiredBuiltins: Plugin = {
  name: 'required-builtins',
  setup: (bundling) => {
    bundling.onResolve({ filter: /./ }, ({ path }) => (isBuiltin(path) ? { path, namespace: 'node' } : undefined));
    bundling.onLoad({ filter: /./, namespace: 'node' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

async function bundle(entry: string): Promise<void> {
  const outfile = `${outputFolder}/${entry}.js`;
  await build({
    entryPoints: [join(import.meta.dirname, `${entry}.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minify: true,
    // It costs a call for every closure that is made, which the proxy does for every request; names matter to client-node.
    keepNames: entry !== 'proxy',
    legalComments: 'linked',
    logLevel: 'warning',
    banner: { js: banner },
    plugins: [ownFiles, requiredBuiltins],
  });
  const { size } = await stat(outfile);
  process.stdout.write(`${outfile}  ${Math.ceil(size / 1024)} KiB\n`);
}

await rm(outputFolder, { recursive: true, force: true });
for (const entry of entries) await bundle(entry);
