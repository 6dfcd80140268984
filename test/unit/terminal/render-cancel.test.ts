import { describe, expect, it } from 'vitest';
import { renderCancel } from '../../../src/cli/commands/cancel/render.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import type { CancelledTask, CancelReport } from '../../../src/core/sweep/cancel.js';

const plain = createStyle({ color: false, unicode: true, columns: 80 });
const task = (
  name: string,
  fate: CancelledTask['fate'],
  more: Partial<CancelledTask> = {},
): CancelledTask => ({
  ...{ name, fate, host: null, note: '' },
  ...more,
});

function report(more: Partial<CancelReport>): CancelReport {
  return {
    ...{
      sweep: 'demo',
      kind: 'unit',
      tasks: [],
      audits: [],
      dry_run: false,
      ended: null,
      hosts: [],
      exit_code: 0,
    },
    ...more,
  };
}

describe('renderCancel', () => {
  it('says what becomes of each, what stays, and what to do next', () => {
    const tasks = [
      task('a', 'asked'),
      task('b', 'removed'),
      task('c', 'removed'),
      task('d', 'outside', { note: 'pid 4' }),
    ];
    const audits = [{ host: null, fate: 'removed' as const }];
    expect(renderCancel(report({ tasks, audits }), "./it's", plain)).toBe(`demo

  2 units removed from the queue:
    b
    c
  1 unit asked to end, finishing what has begun (7 s at most):
    a
  1 unit not in the queue, left alone:
    d: pid 4
  the audit after them: cancelled
  see them end: qrun status './it'\\''s'
  what was recorded stays; to continue: qrun submit-all './it'\\''s'
`);
    const waited = renderCancel(report({ tasks, audits, ended: true }), '.', plain);
    expect(waited).toContain('1 unit ran and has ended:\n    a\n');
    expect(waited).not.toContain('see them end');
    const dry = renderCancel(report({ tasks, audits, dry_run: true }), '.', plain);
    expect(dry).toContain('2 units would never start:\n');
    expect(dry).toContain('1 unit would be asked to end');
    expect(dry).toContain('the audit after them: would be cancelled\n');
    expect(dry).not.toContain('submit-all');
  });

  it('says that there was nothing, and which hosts do not know of it', () => {
    expect(renderCancel(report({}), '.', plain)).toBe('demo\n\n  nothing to cancel: no unit waits or runs\n');
    expect(renderCancel(report({ kind: 'job' }), 'jobs.toml', plain)).toContain('no job waits or runs');
    const problem = {
      code: 'HOST_UNREACHABLE',
      message: 'it stopped answering',
      hint: 'ssh beta',
      exit_code: 26,
    };
    const hosts = [
      { name: 'alpha', problem: null },
      { name: 'beta', problem },
    ];
    expect(renderCancel(report({ hosts }), '.', plain)).toBe(`demo

  nothing to cancel: no unit waits or runs on the hosts that answered
  ✗ beta: it stopped answering; what waits or runs there may go on
    mend: ssh beta
`);
    const tasks = Array.from({ length: 30 }, (_, n) => task(`u${n}\u001b[2J`, 'removed', { host: 'alpha' }));
    const long = renderCancel(
      report({ tasks, hosts, audits: [{ host: 'alpha', fate: 'stays' }] }),
      '.',
      plain,
    );
    expect(long).toContain('    and 10 more (--json has all)\n');
    expect(long).toContain('  the audit after them on alpha: stays, for the others\n');
    expect(long).not.toContain('\u001b[2J');
    const jobs = renderCancel(report({ kind: 'job', tasks: [task('j', 'asked')] }), 'jobs.toml', plain);
    expect(jobs).toContain('1 job asked to end by SIGTERM:\n');
    expect(jobs).toContain('to continue: qrun process-all jobs.toml\n');
  });
});
