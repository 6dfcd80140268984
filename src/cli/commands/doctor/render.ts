import type { Diagnosis } from '../../../app/machine/doctor.js';
import type { Finding, FindingState } from '../../../app/machine/finding.js';
import type { Style } from '../../terminal/style.js';

const STATE_WIDTH = 'problem'.length;

/** Returns a line for each finding, below it what fixes it, and the conclusion from all of them. */
export function renderDiagnosis({ findings, exitCode }: Diagnosis, style: Style): string {
  const { paint } = style;
  const paints = { ok: paint.good, note: paint.caution, problem: paint.bad } as const satisfies Record<
    FindingState,
    unknown
  >;
  const whatWidth = Math.max(...findings.map(({ what }) => what.length));
  const margin = ' '.repeat(STATE_WIDTH + whatWidth + 4);
  // Lines are not wrapped: they hold commands to copy.
  const lines = findings.flatMap(({ state, what, says, mend }: Finding) => [
    `${paints[state](state.padEnd(STATE_WIDTH))}  ${what.padEnd(whatWidth)}  ${style.foreign(says)}`,
    ...(mend === undefined ? [] : [`${margin}${paint.faint('mend:')} ${style.foreign(mend)}`]),
  ]);
  const problems = findings.filter(({ state }) => state === 'problem').length;
  const verdict =
    problems === 0
      ? paint.good('nothing prevents a sweep')
      : paint.bad(
          `${problems === 1 ? 'one problem prevents' : `${problems} problems prevent`} a sweep (${exitCode})`,
        );
  return `${lines.join('\n')}\n\n${verdict}\n`;
}
