import type { DeployStep, HostsDeploy } from '../../../core/hosts/deploy/deploy.js';
import { formatSize } from '../../../core/text/bytes.js';
import { formatAmount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';

const STEP_WIDTH = 'resubmit'.length;

/** Returns what will be sent. */
export function renderBegin({
  name,
  files,
  size_bytes: sizeBytes,
  packages_left_out: without,
}: Pick<HostsDeploy, 'name' | 'files' | 'size_bytes' | 'packages_left_out'>): string {
  const but = without.length === 0 ? '' : `, without ${without.join(', ')}`;
  return `qrun ${name}: ${formatSize(sizeBytes)} in ${formatAmount(files, 'file')}${but}\n\n`;
}

/**
 * Returns what renders the steps one after the other: a line for each host, and below it what mends a problem. `names`:
 * those of all hosts.
 */
export function stepsRenderer(
  style: Style,
  names: readonly string[],
): (host: string, step: DeployStep) => string {
  const { paint, marks, foreign } = style;
  const width = Math.max(0, ...names.map(name => name.length));
  let last = '';
  return (host, { step, state, says, mend }) => {
    const title = (step === last ? '' : step).padEnd(STEP_WIDTH);
    last = step;
    const mark = {
      done: paint.good(marks.good),
      would: paint.faint('-'),
      note: paint.caution(marks.caution),
      problem: paint.bad(marks.bad),
    }[state];
    // Lines are not wrapped: they hold commands to copy.
    const line = `  ${title}  ${mark} ${host.padEnd(width)}  ${foreign(says)}\n`;
    const indent = ' '.repeat(STEP_WIDTH + 6);
    return mend === null ? line : `${line}${indent}${paint.faint('mend:')} ${foreign(mend)}\n`;
  };
}

/** Returns the conclusion, and the commands to give next. */
export function renderEnd({ hosts, next, dry_run: isDryRun }: HostsDeploy, style: Style): string {
  const { paint, foreign } = style;
  const all = formatAmount(hosts.length, 'host');
  const bad = hosts.filter(({ steps }) => steps.some(({ state }) => state === 'problem')).length;
  const of = bad === hosts.length || bad === 0 ? all : `${bad} of ${all}`;
  const verdict = isDryRun
    ? bad === 0
      ? paint.good(`it can be deployed to ${all}; nothing was sent`)
      : paint.bad(`it cannot be deployed to ${of}; nothing was sent`)
    : bad === 0
      ? paint.good(`deployed to ${all}`)
      : paint.bad(`not deployed to ${of}, which go on with what they had`);
  return ['', `  ${verdict}`, ...next.map(command => `  next: ${foreign(command)}`), ''].join('\n');
}
