import type { Diagnosis, Finding, FindingState } from '../../../app/machine/doctor.js';
import type { Style } from '../../terminal/style.js';

const STATE_WIDTH = 'problem'.length;

/** A line for each finding, beneath it what mends it, and what all of them amount to. */
export function renderDiagnosis({ findings, exitCode }: Diagnosis, style: Style): string {
  const { paint } = style;
  const paints = { ok: paint.good, note: paint.caution, problem: paint.bad } as const satisfies Record<
    FindingState,
    unknown
  >;
  const whatWidth = Math.max(...findings.map(({ what }) => what.length));
  const margin = ' '.repeat(STATE_WIDTH + whatWidth + 4);
  // Lines are left as long as they are: they hold commands to copy.
  const lines = findings.flatMap(({ state, what, says, mend }: Finding) => [
    `${paints[state](state.padEnd(STATE_WIDTH))}  ${what.padEnd(whatWidth)}  ${style.foreign(says)}`,
    ...(mend === undefined ? [] : [`${margin}${paint.faint('mend:')} ${style.foreign(mend)}`]),
  ]);
  const problems = findings.filter(({ state }) => state === 'problem').length;
  const verdict =
    problems === 0
      ? paint.good('nothing hinders a sweep')
      : paint.bad(
          `${problems === 1 ? 'one problem hinders' : `${problems} problems hinder`} a sweep (${exitCode})`,
        );
  return `${lines.join('\n')}\n\n${verdict}\n`;
}
