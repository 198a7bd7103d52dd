/**
 * `npm run build`: bundles what ships into dist/, one entry per process. The proxy's bundle contains only what the proxy
 * reaches; shared chunks would make it load code of the controller.
 */
import { rm, stat } from 'node:fs/promises';
import { build } from 'esbuild';

const entries = ['metaveil', 'controller', 'proxy', 'intercept'] as const;
const outputFolder = 'dist';

/** Some dependencies are CommonJS and call require for Node's own modules. */
const requireBanner =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

async function bundle(entry: string): Promise<void> {
  const outfile = `${outputFolder}/${entry}.js`;
  await build({
    entryPoints: [`operator/cmd/${entry}.ts`],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minifySyntax: true,
    legalComments: 'linked',
    logLevel: 'warning',
    banner: { js: requireBanner },
    // The other processes are started from their own bundles.
    external: entries.filter((other) => other !== entry).map((other) => `./${other}.js`),
  });
  const { size } = await stat(outfile);
  process.stdout.write(`${outfile}  ${Math.ceil(size / 1024)} KiB\n`);
}

await rm(outputFolder, { recursive: true, force: true });
for (const entry of entries) await bundle(entry);
