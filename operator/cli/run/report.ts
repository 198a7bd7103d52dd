/** What `metaveil run` prints: what the operator made of the files, and what pods get. */
import type { Condition } from '../../api/v1/index.ts';
import { keyOf } from '../../core/cluster/kinds.ts';
import type { CustomObject } from '../../core/cluster/kinds.ts';
import type { AppliedObject } from '../../controllers/ports.ts';
import type { Decision } from '../../core/policy/decision.ts';
import { traceText } from '../../core/policy/trace-text.ts';
import { table } from '../table.ts';

/** What one pod got for one question. */
export interface Observation {
  /** What was asked, for example `GET instance/attributes/kube-env`. */
  readonly question: string;
  /** Lines of the answer; never a token. */
  readonly answer: readonly string[];
  /** The evaluation behind it; absent where no policy was asked. */
  readonly decision?: Decision | undefined;
}

export interface PodReport {
  /** `namespace/name`. */
  readonly pod: string;
  readonly serviceAccount: string;
  readonly observations: readonly Observation[];
}

export function resourceLines(objects: readonly CustomObject[]): readonly string[] {
  const rows = objects.map((object) => [
    object.kind,
    keyOf(object),
    ...stateOf(object.status?.conditions),
    countedOf(object),
  ]);
  return table([['KIND', 'NAME', 'READY', 'REASON', 'COUNTED'], ...rows]);
}

/** What a policy did to requests so far; '' for nothing, and for what counts nothing. */
function countedOf(object: CustomObject): string {
  if (object.kind !== 'MetadataPolicy' && object.kind !== 'ClusterMetadataPolicy') return '';
  const { concealed = 0, wouldConceal = 0, legacy = 0 } = object.status ?? {};
  const counts = Object.entries({ concealed, 'would be concealed': wouldConceal, legacy });
  return counts.flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what}`])).join(', ');
}

function stateOf(conditions: readonly Condition[] | undefined): readonly string[] {
  const ready = conditions?.find(({ type }) => type === 'Ready');
  return [ready?.status ?? 'Unknown', ready?.reason ?? 'Pending'];
}

/** Messages of everything that is not Ready, so that nobody has to look them up. */
export function hintLines(objects: readonly CustomObject[]): readonly string[] {
  return objects.flatMap((object) => {
    const ready = object.status?.conditions?.find(({ type }) => type === 'Ready');
    return ready === undefined || ready.status === 'True' ? [] : [`${object.kind} ${keyOf(object)}: ${ready.message}`];
  });
}

export function appliedLines(objects: readonly AppliedObject[]): readonly string[] {
  const rows = objects.map(({ kind, metadata }) => [kind, metadata.namespace ?? '-', metadata.name]);
  return table([['KIND', 'NAMESPACE', 'NAME'], ...rows]);
}

export function podLines({ pod, serviceAccount, observations }: PodReport): readonly string[] {
  return [`Pod ${pod} (ServiceAccount ${serviceAccount})`, ...observations.flatMap(observationLines)];
}

function observationLines({ question, answer, decision }: Observation): readonly string[] {
  const trace = decision === undefined ? [] : [`      trace: ${traceText(decision.trace)}`];
  return [`  ${question}`, ...answer.map((line) => `      ${line}`), ...trace];
}
