/** The command line. Every process of the product is started through it; the heavy ones are loaded only when asked for. */
import { Command, Option } from 'commander';
import type { Profile } from '../api/v1/index.ts';
import { nodeApiPort, productVersion } from '../core/names.ts';
import type { AskOptions } from './explain.ts';
import { endingSignal } from './system.ts';

const profileNames: readonly Profile[] = ['Privileged', 'Baseline', 'Restricted'];

interface ExplainOptions extends AskOptions {
  readonly profile?: Profile;
}

const program = new Command('metaveil')
  .description("Google Cloud identity for Kubernetes pods without keys, and a veil over the node's cloud metadata.")
  .version(productVersion)
  .showHelpAfterError();

program
  .command('run')
  .description('Run the product on loopback from a folder of manifests, without a cluster')
  .option('--samples <dir>', 'folder with manifests', 'samples')
  .option('--once', 'end after showing what pods get', false)
  .addOption(new Option('--kubeconfig <file>', 'run the operator against a cluster instead').conflicts(['once']))
  .action(async (options: { samples: string; once: boolean; kubeconfig?: string }) => {
    if (options.kubeconfig !== undefined) {
      // On a person's machine: nothing listens for others, and health and metrics are nobody's business.
      const quiet = ['--health-listen', '127.0.0.1:0', '--metrics-listen', '0'];
      const flags = ['--listen', `127.0.0.1:${nodeApiPort}`, ...quiet];
      const { main } = await import('./controller.ts');
      process.exitCode = await main(['--kubeconfig', options.kubeconfig, ...flags], process.env);
      return;
    }
    const { run } = await import('./run.ts');
    process.exitCode = await run(options, endingSignal());
  });

/** Which cluster a decision is asked of: by default the one that kubectl would ask. */
const askOptions: readonly Option[] = [
  new Option('-f, --samples <path>', 'answer from manifests, a file or a folder, instead of a cluster').conflicts([
    'kubeconfig',
    'context',
  ]),
  new Option('--kubeconfig <file>', 'kubeconfig of the cluster to read (default: as kubectl)'),
  new Option('--context <name>', 'context of the kubeconfig (default: its current one)'),
  new Option('-n, --namespace <name>', 'namespace of pods that are named without one'),
  new Option('--allow-insecure-endpoints', 'test flag: as that of the controller').default(false).hideHelp(),
  new Option('-o, --output <format>', 'how to print').choices(['text', 'json']).default('text'),
];

function withAskOptions(command: Command): Command {
  for (const option of askOptions) command.addOption(option);
  return command;
}

withAskOptions(program.command('explain'))
  .description('Explain what a pod gets at a metadata path, or print a profile')
  .argument('[pod]', 'NAMESPACE/NAME, or NAME, of a pod or workload')
  .argument('[path]', 'for example instance/attributes/kube-env')
  .addOption(new Option('--profile <name>', 'print the table of a profile').choices(profileNames))
  .action(async (pod: string | undefined, path: string | undefined, options: ExplainOptions, command: Command) => {
    const { explainPath, explainProfile } = await import('./explain.ts');
    if (options.profile !== undefined && pod === undefined) {
      process.exitCode = explainProfile(options.profile, options.output);
    } else if (options.profile === undefined && pod !== undefined && path !== undefined) {
      process.exitCode = await explainPath(pod, path, options);
    } else {
      command.error('error: name a pod and a path, or --profile');
    }
  });

withAskOptions(program.command('test'))
  .description('Run the cases of a file, or of a folder of files, against the decisions of a cluster or of manifests')
  .argument('<file>', 'cases: pod, path, expected decision')
  .action(async (file: string, options: AskOptions) => {
    const { testFile } = await import('./explain.ts');
    process.exitCode = await testFile(file, options);
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
