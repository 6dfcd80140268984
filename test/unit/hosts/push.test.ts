import { describe, expect, it } from 'vitest';
import type { HereReport } from '../../../src/core/hosts/look.js';
import {
  ancestorsOf,
  type BusyUnit,
  busyDirectories,
  busyUnits,
  changesIn,
  goneDirectories,
  isOtherSweep,
  pushExit,
  pushRules,
} from '../../../src/core/hosts/push.js';

type Task = HereReport['tasks'][number];

function report(
  tasks: readonly Task[],
  sweep: Partial<NonNullable<HereReport['sweep']>> | null = {},
): HereReport {
  return {
    program: '/opt/qrun',
    version: '0.1.0',
    node: '20.0.0',
    queue: { name: 'pueue', version: '4.0.0', problem: null, mend: null },
    tasks: [...tasks],
    locks: 'koffi',
    root: '/there',
    sweep: sweep && { name: 'there', log_directory: '/there/results', directories: [], held: [], ...sweep },
    problem: null,
    network: false,
    free_bytes: null,
  };
}

const task = (sweep: string, name: string, phase: Task['phase'] = 'queued'): Task => ({ sweep, name, phase });
const queued = (unit: string): BusyUnit => ({ unit, state: 'queued', holder: null });

describe('units that are busy on a host', () => {
  it('are those of the sweep, under its name here and there, and those that a process holds', () => {
    const held = [{ unit: 'd', holder: 'pid 7' }];
    const tasks = [
      task('here', 'a', 'delayed'),
      task('there', 'b', 'paused'),
      task('other', 'c'),
      task('here', '#audit', 'running'),
      task('here', 'd'),
      task('here', 'e', 'running'),
      task('here', 'e', 'queued'),
    ];
    expect(busyUnits(report(tasks, { held }), 'here')).toEqual([
      queued('a'),
      { unit: 'b', state: 'running', holder: null },
      { unit: 'd', state: 'running', holder: 'pid 7' },
      { unit: 'e', state: 'running', holder: null },
    ]);
    expect(busyUnits(report(tasks, null), 'here').map(({ unit }) => unit)).toEqual(['a', 'd', 'e']);
  });

  it.each<[string, string, string[]]>([
    ['its own directory', 'u/x', ['u/x']],
    ['with parameters', 'u/x@k=v', ['u/x']],
    ['with @ in its directory', 'u@1/x@k=v', ['u@1/x', 'u@1']],
    ['a directory that was a unit', 'u', ['u/x', 'u/y']],
    ['a unit below', 'v/deep/z', ['v']],
    ['a name that only begins so', 'u/xy', []],
    ['the root', 'nothing', []],
  ])('keep the directories that they may be in: %s', (_, unit, expected) => {
    const directories = ['u/x', 'u/y', 'v', 'u@1/x', 'u@1'];
    expect([...busyDirectories(directories, [queued(unit)]).keys()]).toEqual(expected);
  });

  it('keep the root, whatever they are called there', () => {
    expect([...busyDirectories([''], [queued('its name there')]).keys()]).toEqual(['']);
    expect([...busyDirectories([''], []).keys()]).toEqual([]);
  });
});

describe('units there that are not here', () => {
  const units = new Set(['a', 'b/x', 'deep']);
  const there = (...directories: string[]): HereReport => report([], { directories });

  it('go, unless they lie elsewhere, or in a unit of here', () => {
    expect(goneDirectories(there('a', 'b', 'c/y', 'deep/z'), units, '')).toEqual(['b', 'c/y']);
    expect(goneDirectories(there('a', 'b', 'c/y', 'cc'), units, 'c')).toEqual(['c/y']);
    expect(goneDirectories(report([], null), units, '')).toEqual([]);
  });

  it('are another sweep if there are no others, and it has another name', () => {
    expect(isOtherSweep(there('x', 'y'), 'here', units)).toBe(true);
    expect(isOtherSweep(there('x', 'y'), 'there', units)).toBe(false);
    expect(isOtherSweep(there('x', 'a'), 'here', units)).toBe(false);
    expect(isOtherSweep(there(), 'here', units)).toBe(false);
    expect(isOtherSweep(report([], null), 'here', units)).toBe(false);
  });
});

it('a path lies in the directories above it, and in the root', () => {
  expect(ancestorsOf('a/b/c')).toEqual(['a/b', 'a', '']);
  expect(ancestorsOf('')).toEqual([]);
});

describe('the rules for rsync', () => {
  const rules = (
    units: string[],
    more: Partial<Record<'gone' | 'kept' | 'hidden', string[]>> = {},
  ): string[] => {
    const text = pushRules({ units, gone: [], kept: [], hidden: [], ...more });
    expect(text.endsWith('\0')).toBe(true);
    return text.slice(0, -1).split('\0');
  };

  it('let through SQL of units, setup files above, and qrun.toml', () => {
    expect(rules(['2down/u', 'v'], { kept: ['results'], hidden: ['v/link.sql'] })).toEqual([
      '- /results',
      'H /v/link.sql',
      '- .*',
      '- _*/',
      '+ /2down/_setup.sql',
      '- /2down/*.sql',
      '+ /_setup.sql',
      '- /*.sql',
      '+ *.sql',
      '+ /qrun.toml',
      '+ /2down/',
      '+ /2down/u/',
      '+ /v/',
      '- /2down/*/',
      '- /*/',
      '+ */',
      '- *',
    ]);
  });

  it('escape wildcards, and backslashes only beside them', () => {
    const all = rules(['a[1]*', 'b\\c', 'd\\?'], { kept: ['x*'] });
    expect(all).toContain('+ /a\\[1]\\*/');
    expect(all).toContain('+ /b\\c/');
    expect(all).toContain('+ /d\\\\\\?/');
    expect(all).toContain('- /x\\*');
    expect(rules(['p\\q/u'])).toContain('- /p\\\\q/*.sql');
  });

  it('name directories first that look like files, or are hidden', () => {
    const all = rules(['.x/u', '_y', 'z.sql']);
    for (const rule of ['+ /.x/', '+ /_y/', '+ /z.sql/']) {
      expect(all.indexOf(rule)).toBeLessThan(all.indexOf('- .*'));
    }
  });

  it('remove what was in a unit that is now above others', () => {
    expect(rules(['u/x'], { gone: ['u'] })).toContain('H /u/*.sql');
    expect(rules(['u/x'])).toContain('- /u/*.sql');
  });

  it('enter no directory of a unit that is the root', () => {
    expect(rules([''])).toEqual(['- .*', '- _*/', '+ *.sql', '+ /qrun.toml', '- /*/', '+ */', '- *']);
  });
});

it('changes are files that are sent and removed, not directories', () => {
  const lines = [
    'send u/',
    'send u/a b.sql',
    'del. u/c.sql',
    'del. gone/',
    'skipping non-regular file "x"',
    '',
  ];
  expect(changesIn(lines.join('\n'))).toEqual(['send u/a b.sql', 'remove u/c.sql']);
});

it('the exit code is that of the worst problem, and 22 for units that were left out', () => {
  const left = [{ unit: 'u', state: 'queued' as const, holder: null }];
  const problem = (exitCode: number) => ({ code: 'X', message: '', hint: null, exit_code: exitCode });
  expect(pushExit([{ problem: null, left_out: [] }])).toBe(0);
  expect(pushExit([{ problem: null, left_out: left }])).toBe(22);
  expect(
    pushExit([
      { problem: problem(26), left_out: left },
      { problem: problem(23), left_out: [] },
    ]),
  ).toBe(23);
  expect(pushExit([{ problem: problem(26), left_out: left }])).toBe(26);
});
