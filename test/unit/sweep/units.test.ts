import { describe, expect, it } from 'vitest';
import { QrunError } from '../../../src/core/errors.js';
import {
  chooseUnits,
  parameterSets,
  parseSweepTable,
  type SqlDirectory,
  sweepProblems,
} from '../../../src/core/sweep/units.js';

function refusal(work: () => unknown): QrunError {
  try {
    work();
  } catch (error) {
    if (error instanceof QrunError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('parseSweepTable', () => {
  it('takes everything that the documentation names, and values as text', () => {
    const table = {
      name: 'gen600',
      group: 'p1',
      parallel: 'auto',
      priority: -3,
      units: ['2down/*'],
      epochs: [{ from: '2024-01-01', to: 5 }],
      matrix: { threshold: [250, 500], on: true },
      on: 'slurm',
      slurm: { partition: 'gpu,long', account: 'me', qos: 'high', time: '4h', cpus: 2 },
    };
    expect(parseSweepTable('qrun.toml', table)).toEqual({
      ...table,
      epochs: [{ from: '2024-01-01', to: '5' }],
      matrix: { threshold: ['250', '500'], on: ['1'] },
    });
    expect(parseSweepTable('qrun.toml', undefined)).toEqual({});
  });

  it.each<[string, unknown, string]>([
    [
      'an unknown key',
      { unit: ['x'] },
      'sweep.unit: unknown key; known are name, group, on, slurm, parallel',
    ],
    ['an unknown queue', { on: 'cron' }, 'sweep.on: must be pueue or slurm'],
    [
      'a name that is an option',
      { slurm: { partition: '--wrap=x' } },
      'sweep.slurm.partition: must be a name',
    ],
    ['a name with a line end', { slurm: { account: 'a\n' } }, 'sweep.slurm.account: must be a name'],
    ['seconds for a time', { slurm: { time: '30s' } }, 'sweep.slurm.time: must be a duration of at least 1m'],
    ['a number for a time', { slurm: { time: 60 } }, 'sweep.slurm.time: must be a duration'],
    ['no cores', { slurm: { cpus: 0 } }, 'sweep.slurm.cpus: must be a whole number from 1 to 4096'],
    ['an unknown key of a cluster', { slurm: { nodes: 2 } }, 'sweep.slurm.nodes: unknown key'],
    ['no table', 'x', 'sweep: '],
    ['no slots', { parallel: 0 }, 'sweep.parallel: must be "auto" or a whole number from 1 to 10000'],
    ['an empty list', { units: [] }, 'sweep.units: must not be empty'],
    ['units of numbers', { units: [1] }, 'sweep.units.0: must be a string'],
    ['nested values', { matrix: { a: [[1]] } }, 'sweep.matrix.a'],
    ['an epoch that is no table', { epochs: [3] }, 'sweep.epochs.0: must be a table of parameters'],
    [
      'a matrix that would take all memory',
      {
        matrix: Object.fromEntries(
          [...'abcdefgh'].map(name => [name, Array.from({ length: 100 }, (_, index) => index)]),
        ),
      },
      'f: sweep: has 10000000000000000 sets of parameters (epochs x matrix); the limit is 100000',
    ],
    [
      'a long value in each of many sets',
      {
        epochs: Array.from({ length: 90_000 }, (_, n) => ({ n })),
        matrix: { a: ['x'.repeat(1000)] },
      },
      'f: sweep: its sets of parameters have 90438890 characters together; the limit is 67108864',
    ],
    ['a parameter in both', { epochs: [{ a: 1 }], matrix: { a: [1] } }, 'sweep.matrix.a: is in epochs too'],
  ])('refuses %s', (_what, table, message) => {
    const { code, details, exitCode } = refusal(() => parseSweepTable('f', table));
    expect([code, exitCode]).toEqual(['CONFIG', 2]);
    expect(details.join('\n')).toContain(message);
  });

  it('names all problems at once', () => {
    expect(sweepProblems('sweep', { parallel: -1, priority: 'x', foo: 1 })).toHaveLength(3);
  });

  it.each(['a b', 'x:y', '', '../x', 'x'.repeat(65)])('refuses the name %j, which stands in labels', name => {
    expect(refusal(() => parseSweepTable('f', { name })).code).toBe('CONFIG');
  });
});

describe('parameterSets', () => {
  it('is one empty set where nothing varies', () => {
    expect(parameterSets({})).toEqual([{}]);
  });

  it('is each epoch with each combination', () => {
    const sets = parameterSets({ epochs: [{ e: '1' }, { e: '2' }], matrix: { a: ['x', 'y'], b: ['z'] } });
    expect(sets).toEqual([
      { e: '1', a: 'x', b: 'z' },
      { e: '1', a: 'y', b: 'z' },
      { e: '2', a: 'x', b: 'z' },
      { e: '2', a: 'y', b: 'z' },
    ]);
  });
});

describe('chooseUnits', () => {
  const directories: SqlDirectory[] = [
    { path: '', files: 0, above: true },
    { path: 'a', files: 0, above: true },
    { path: 'a/x', files: 3, above: false },
    { path: 'a/y', files: 1, above: false },
    { path: 'b', files: 2, above: false },
  ];

  it('takes every leaf without a list', () => {
    expect(chooseUnits(directories, undefined)).toEqual(['a/x', 'a/y', 'b']);
  });

  it('takes what the globs match, each once; a directory above others is a unit with all below it', () => {
    expect(chooseUnits(directories, ['a/*', './b/', 'a/x'])).toEqual(['a/x', 'a/y', 'b']);
    expect(chooseUnits(directories, ['a'])).toEqual(['a']);
    // Of these nothing is left to compare with.
    for (const root of ['/', './']) {
      expect(() => chooseUnits(directories, [root])).toThrow('the units of the sweep are not usable');
    }
  });

  it('refuses files that would be in no unit', () => {
    const mixed = [
      ...directories,
      { path: 'c', files: 1, above: true },
      { path: 'c/z', files: 1, above: false },
    ];
    const { details, hint } = refusal(() => chooseUnits(mixed, undefined));
    expect(details).toEqual(['c has 1 SQL file of its own beside directories with SQL files']);
    expect(hint).toContain('units = ');
    const root = [{ path: '', files: 2, above: true }];
    expect(refusal(() => chooseUnits(root, undefined)).details[0]).toMatch(/^the root has 2 SQL files/);
  });

  it('refuses files that would be in two units, and globs that match nothing', () => {
    const { details } = refusal(() => chooseUnits(directories, ['a', 'a/x', 'zz*']));
    expect(details).toEqual([
      'units: "zz*" matches no directory with SQL files',
      'units: a/x is in a, so its files would be in both',
    ]);
  });
});
