/** The command line. Every process of the product is started through it; the heavy ones are loaded only when asked for. */
import { Command, Option } from 'commander';

const program = new Command('metaveil')
  .description("Google Cloud identity for Kubernetes pods without keys, and a veil over the node's cloud metadata.")
  .version('0.1.0')
  .showHelpAfterError();

program
  .command('run')
  .description('Run the product on loopback from a folder of manifests, without a cluster')
  .option('--samples <dir>', 'folder with manifests', 'samples')
  .option('--once', 'end after showing what pods get', false)
  .addOption(new Option('--kubeconfig <file>', 'run the operator against a cluster instead').conflicts(['once']))
  .action(async (options: { samples: string; once: boolean; kubeconfig?: string }) => {
    if (options.kubeconfig !== undefined) {
      const { main } = await import('./controller.ts');
      process.exitCode = await main(['--kubeconfig', options.kubeconfig], process.env);
      return;
    }
    const stop = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
    const { run } = await import('./run.ts');
    process.exitCode = await run(options, stop.signal);
  });

/** Parsed by the processes themselves: their flags are those of a deployment, not of a person. */
for (const name of ['controller', 'proxy', 'intercept'] as const) {
  program
    .command(name)
    .description(`Start the ${name} (used by the manifests in config/)`)
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .argument('[flags...]')
    .action(async (flags: string[]) => {
      const { main } = await load(name);
      process.exitCode = await main(flags, process.env);
    });
}

type Main = (argv: readonly string[], env: NodeJS.ProcessEnv) => Promise<number>;

async function load(name: 'controller' | 'proxy' | 'intercept'): Promise<{ readonly main: Main }> {
  switch (name) {
    case 'controller':
      return import('./controller.ts');
    case 'proxy':
      return import('./proxy.ts');
    case 'intercept':
      return import('./intercept.ts');
  }
}

await program.parseAsync();
