/**
 * The three profiles as data, printed by `metaveil explain --profile`. Restricted reveals a part of what Baseline
 * reveals, and Baseline a part of Privileged: a stricter profile never opens anything.
 */
import type { Profile } from '../../api/v1/index.ts';
import { MetaveilError } from '../errors.ts';
import { compilePattern } from './compile.ts';
import { conceals, leadsTo, reveals, type PolicyPath } from './match.ts';
import type { Pattern } from './pattern.ts';

/** One line of a profile. `reveal` rows are exceptions from `conceal` rows and from the profile's default. */
export interface ProfileRow {
  readonly effect: 'conceal' | 'reveal';
  readonly pattern: string;
  readonly why: string;
}

export interface ProfileTable {
  /** What happens to a path that no row names. */
  readonly otherwise: 'conceal' | 'reveal';
  /** Whether the 0.1 and v1beta1 APIs answer where no ClusterMetadataPolicy says. */
  readonly legacyEndpoints: 'Deny' | 'Allow';
  readonly rows: readonly ProfileRow[];
}

const hide = (pattern: string, why: string): ProfileRow => ({ effect: 'conceal', pattern, why });
const show = (pattern: string, why: string): ProfileRow => ({ effect: 'reveal', pattern, why });

const clusterRows: readonly ProfileRow[] = [
  show('instance/attributes/cluster-name', 'Clients recognise Kubernetes by it and label metrics with it.'),
  show('instance/attributes/cluster-location', 'Clients label metrics with it.'),
  show('instance/attributes/cluster-uid', 'Clients label metrics with it.'),
];

const baseline: readonly ProfileRow[] = [
  hide('instance/attributes/**', 'Holds kube-env, user-data, start-up scripts and whatever a customer put there.'),
  ...clusterRows,
  show('instance/attributes/created-by', 'Names the instance group, nothing more.'),
  show('instance/attributes/instance-template', 'Names the template, nothing more.'),
  show('instance/attributes/disable-legacy-endpoints', 'A switch.'),
  show('instance/attributes/enable-oslogin', 'A switch.'),
  show('instance/attributes/serial-port-logging-enable', 'A switch.'),
  hide('project/attributes/**', 'Holds ssh keys, start-up scripts and whatever a customer put there.'),
  show('project/attributes/enable-oslogin', 'A switch.'),
  show('project/attributes/google-compute-default-region', 'A default of the command line.'),
  show('project/attributes/google-compute-default-zone', 'A default of the command line.'),
  hide('instance/service-accounts/*/token', "The node's access token; a pod's own account is served from its binding."),
  hide('instance/service-accounts/*/identity', "The node's identity token; a pod's own comes from its binding."),
  hide('instance/gce-workload-certificates/**', "The node's workload certificate and its private key."),
  hide('instance/credentials/**', "The node's credentials for mutual TLS."),
  hide('instance/guest-attributes/**', 'Values that agents on the node publish, host keys among them.'),
  hide('instance/partner-attributes/**', 'Values that partners and their agents put there.'),
  hide('oslogin/**', 'Users of the node and their ssh keys.'),
];

const restricted: readonly ProfileRow[] = [
  show('project/project-id', 'Every client asks for it.'),
  show('project/numeric-project-id', 'Every client asks for it.'),
  show('instance/id', "GKE's metadata server serves it to pods."),
  show('instance/name', "GKE's metadata server serves it to pods."),
  show('instance/hostname', "GKE's metadata server serves it to pods."),
  show('instance/zone', "GKE's metadata server serves it to pods."),
  ...clusterRows,
  show('universe/universe-domain', "Clients build the names of Google's endpoints from it."),
];

export const profiles: Readonly<Record<Profile, ProfileTable>> = {
  Privileged: { otherwise: 'reveal', legacyEndpoints: 'Allow', rows: [] },
  Baseline: { otherwise: 'reveal', legacyEndpoints: 'Deny', rows: baseline },
  Restricted: { otherwise: 'conceal', legacyEndpoints: 'Deny', rows: restricted },
};

const strictness: Readonly<Record<Profile, number>> = { Privileged: 0, Baseline: 1, Restricted: 2 };

/** Whether `one` conceals more than `other`. */
export function isStricter(one: Profile, other: Profile): boolean {
  return strictness[one] > strictness[other];
}

/** What a profile says of a path. `row` is the deciding row's pattern, '' where the default of the table decided. */
export type ProfileVerdict =
  | { readonly kind: 'conceal'; readonly row: string }
  | { readonly kind: 'reveal'; readonly row: string; readonly extent: 'node' | 'directory' };

/** Legacy endpoints aside: the path is always a v1 path. */
export function profileVerdict(profile: Profile, path: PolicyPath): ProfileVerdict {
  const rows = compiledRows[profile];
  const shown = rows.reveal.find((row) => reveals(row, path));
  if (shown !== undefined) return { kind: 'reveal', row: shown.source, extent: 'node' };
  const hidden = rows.conceal.find((row) => conceals(row, path));
  if (hidden === undefined && profiles[profile].otherwise === 'reveal')
    return { kind: 'reveal', row: '', extent: 'node' };
  const above = rows.reveal.find((row) => leadsTo(row, path));
  if (above !== undefined) return { kind: 'reveal', row: above.source, extent: 'directory' };
  return { kind: 'conceal', row: hidden?.source ?? '' };
}

interface CompiledRows {
  readonly conceal: readonly Pattern[];
  readonly reveal: readonly Pattern[];
}

const compiledRows: Readonly<Record<Profile, CompiledRows>> = {
  Privileged: compileRows(profiles.Privileged),
  Baseline: compileRows(profiles.Baseline),
  Restricted: compileRows(profiles.Restricted),
};

function compileRows({ rows }: ProfileTable): CompiledRows {
  const withEffect = (effect: ProfileRow['effect']) => rows.filter((row) => row.effect === effect).map(compileRow);
  return { conceal: withEffect('conceal'), reveal: withEffect('reveal') };
}

function compileRow(row: ProfileRow): Pattern {
  const compiled = compilePattern(row.pattern);
  if (compiled.kind === 'compiled') return compiled.pattern;
  throw new MetaveilError('invalid-configuration', `profile row ${row.pattern}: ${compiled.error.message}`);
}
