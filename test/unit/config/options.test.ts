import type { Command, Option } from 'commander';
import { describe, expect, it } from 'vitest';
import { configFlags } from '../../../src/cli/options.js';
import { createProgram } from '../../../src/cli/program.js';
import type { Terminal } from '../../../src/cli/terminal/streams.js';
import { resolveConfig } from '../../../src/core/config/config.js';

const program = createProgram({} as Terminal, () => {});

function command(name: string): Command {
  const found = program.commands.find(one => one.name() === name);
  if (found === undefined) throw new Error(`there is no command ${name}`);
  return found;
}

// Words that a shell would hand over for an option, with a value that its key takes.
const VALUES: Readonly<Record<string, string>> = {
  '--concurrency': '4',
  '--memory-max': '8G',
  '--timeout': '30s',
  '--max-replica-delay': '5s',
  '--max-outage': '1m',
  '--max-result': '4G',
  '--halt': 'errors=5',
  '--engine': 'clickhouse',
  '--param': 'a=1',
  '--set': 'a=1',
  '--shard': '1/2',
  '--rerun': 'all',
  '--umask': '0077',
  '--allow-placeholder': '__X__',
  '--on': 'slurm',
};

function wordsOf({ long, required }: Option): string[] {
  return required ? [long as string, VALUES[long as string] ?? '1'] : [long as string];
}

describe.each([
  ['audit', 'unit'],
  ['plan', 'unit'],
  ['audit-all', 'submit-all'],
])('qrun %s takes the command line of qrun %s', (looks, runs) => {
  // What says how a sweep is submitted, and not what is in it.
  const submission = ['--parallel', '--delay', '--resume-group', '--dry-run'];
  const options = command(runs).options.filter(
    ({ long }) => long !== '--password' && (runs === 'unit' || !submission.includes(long as string)),
  );

  it.each(options.map(option => [option.long as string, option] as const))('%s', (_, option) => {
    const words = wordsOf(option);
    const { operands, unknown } = command(looks).parseOptions(['dir', ...words]);
    expect(unknown).toEqual([]);
    expect(operands).toEqual(['dir']);
    const own = command(looks).options.find(({ long }) => long === option.long);
    expect(own).toMatchObject({ short: option.short, required: option.required });
  });

  it('without an option that shows itself in its help for nothing', () => {
    const shown = command(looks).createHelp().visibleOptions(command(looks));
    for (const hidden of ['--retries', '--timeout', '--setup', '--password']) {
      expect(shown.map(({ long }) => long)).not.toContain(hidden);
    }
  });
});

it.each(['unit', 'plan', 'audit', 'submit-all', 'audit-all', 'config', 'probe', 'autoscale', 'doctor'])(
  'qrun %s refuses a password, and does not repeat it',
  name => {
    expect(() => command(name).parseOptions(['dir', '--password', 'hunter2'])).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.not.stringContaining('hunter2') }),
    );
  },
);

it('every option of qrun unit means something to the configuration, or only shows something', () => {
  const words = command('unit')
    .options.filter(({ long }) => long !== '--password')
    .flatMap(wordsOf);
  const parsed = command('unit').parseOptions(words);
  expect(parsed.unknown).toEqual([]);
  const { flags = {} } = configFlags(command('unit').opts());
  expect(() => resolveConfig({ toml: undefined, env: {}, flags })).not.toThrow();
});

describe('configFlags', () => {
  // Each of a program of its own, because a command keeps what it has parsed.
  const flagsOf = (words: string[]): unknown => {
    const unit = createProgram({} as Terminal, () => {}).commands.find(one => one.name() === 'unit');
    unit?.parseOptions(words);
    return configFlags(unit?.opts() ?? {}).flags;
  };

  it.each([
    [['--allow-placeholder', '__X__'], ['__X__']],
    [
      ['--allow-placeholder', '__X__', '--allow-placeholder=__Y__'],
      ['__X__', '__Y__'],
    ],
    [['--allow-placeholders'], true],
    [['--allow-placeholders', '--allow-placeholder', '__X__'], true],
    [['--allow-placeholder', '__X__', '--allow-placeholders'], true],
  ])('of %j: %j may stand', (words, allowed) => {
    expect(flagsOf(words)).toEqual({ allowPlaceholders: allowed });
  });

  it.each([
    [[], {}],
    [['--redact'], { redact: true }],
    [['--no-redact'], { redact: false }],
  ])('of %j: %j is given', (words, given) => {
    expect(flagsOf(words)).toEqual(given);
  });

  it('takes what the table of configuration has, and nothing else', () => {
    const unknown = { ...command('unit').opts(), color: 'never', list: true };
    expect(Object.keys(configFlags(unknown).flags ?? {})).not.toContain('color');
  });
});
