import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type DoctorDeps, diagnose } from '../../../src/app/machine/doctor.js';
import { renderDiagnosis } from '../../../src/cli/commands/doctor/render.js';
import { renderProcessAll } from '../../../src/cli/commands/process-all/render.js';
import { renderStatus } from '../../../src/cli/commands/status/render.js';
import { renderSubmission } from '../../../src/cli/commands/submit-all/render.js';
import { renderSummary } from '../../../src/cli/commands/unit/render.js';
import { renderError } from '../../../src/cli/terminal/error.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import { pasteableWord } from '../../../src/core/text/shell.js';
import type { RunSummary } from '../../../src/core/unit/events.js';
import { PUEUE } from '../../../src/io/queue/pueue/kind.js';
import { directorySource } from '../../../src/io/unit/unit-files.js';
import { builtQrun } from '../../built.js';
import { queueTask } from '../../unit/queue/samples.js';
import { scratch } from '../machine/processes.js';
import { put, qrun, removeTree, tree } from '../qrun.js';

const ODD = [
  'plain',
  'with space',
  "it's",
  '"double"',
  '$HOME',
  '`id`',
  '$(id)',
  'back\\slash',
  'new\nline',
  'carriage\rreturn',
  'tab\there',
  'esc\u001b[2Jape',
  'bell\u0007\u00078',
  'c1\u009b31m',
  'café',
  'cafe\u0301',
  '日本',
  '😀',
  '\u202eright to left',
  'zero\u200bwidth',
  '-dash',
  '--url=http://evil',
  '-',
  '--',
  '~',
  '~root',
  '*',
  '[a]?{b,c}',
  '!history',
  '#comment',
  ';id',
  '&',
  '|cat',
  '>out',
  '=zsh',
  'a=b',
  '%1',
  "$'x'",
  "\\'",
  "both'\n'",
  ' ',
  'trailing\n',
];

const STYLES = [true, false].map(unicode => createStyle({ color: false, unicode, columns: 100 }));
const SHELLS = ['bash', 'zsh'].filter(shell => {
  try {
    execFileSync(shell, ['-c', ':']);
    return true;
  } catch {
    return false;
  }
});

/** What programs see of command lines that are pasted into a shell, in which qrun and pueue only say what they got. */
function pasted(shell: string, lines: readonly string[]): string[][] {
  const says = `f() { printf '%s\\0' "$#" "$@"; }; qrun() { f qrun "$@"; }; pueue() { f pueue "$@"; };`;
  // From its input, line by line, as a terminal gives it.
  const args = shell === 'zsh' ? ['-f', '-s'] : ['--norc', '--noprofile', '-s'];
  const stdout = execFileSync(shell, args, {
    input: `${says}\n${lines.join('\n')}\n`,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: '/nonexistent' },
  });
  // Each with the number of its words in front, because a word may be anything that could stand between two of them.
  const words = stdout.split('\0').slice(0, -1);
  const programs: string[][] = [];
  for (let at = 0; at < words.length; ) {
    const next = at + 1 + Number(words[at]);
    programs.push(words.slice(at + 1, next));
    at = next;
  }
  return programs;
}

/** The commands in a text, which reach to the end of their line or to two spaces. */
function commandsIn(text: string, starts: RegExp): string[] {
  return text.split('\n').flatMap(line => {
    const command = starts.exec(line)?.[0];
    return command === undefined ? [] : [command];
  });
}

const summary: RunSummary = {
  run: 'r1',
  unit: 'u',
  log: '/l',
  selected: 1,
  settled_before: 1,
  recorded: { normal: 0, skipped: 0, error: 0 },
  records: 0,
  not_run: 0,
  retries: 0,
  elapsed_ms: 1,
  durations: null,
  histogram: null,
  servers: [],
  slowest: [],
  errors: [],
  cannot_run: [],
  no_statement: [],
  stopped: null,
  exit_code: 0,
};

describe.each(SHELLS)('a command that qrun prints, pasted into %s', shell => {
  it('has its words back, whatever is in them', () => {
    for (const asciiOnly of [false, true]) {
      const lines = ['', ...ODD].map(word => `qrun ${pasteableWord(word, asciiOnly)}`);
      for (const line of lines) expect(line).toMatch(asciiOnly ? /^[\x20-\x7e]*$/ : /^[^\p{C}]*$/u);
      expect(pasted(shell, lines)).toEqual(['', ...ODD].map(word => ['qrun', word]));
    }
  });

  it('has any text back', () => {
    const word = fc.string({ unit: 'binary' }).map(text => text.replaceAll('\0', ''));
    fc.assert(
      fc.property(fc.array(word, { minLength: 20, maxLength: 60 }), fc.boolean(), (words, asciiOnly) => {
        const line = `qrun ${words.map(one => pasteableWord(one, asciiOnly)).join(' ')}`;
        expect(pasted(shell, [line])).toEqual([['qrun', ...words]]);
      }),
      { numRuns: 20 },
    );
  });

  it('is the audit behind a run', () => {
    for (const style of STYLES) {
      const lines = ODD.flatMap(word => {
        const auditOptions = [`--log=${word}`, `--param=a=${word}`];
        const text = renderSummary(summary, style, { directory: word, auditOptions });
        return commandsIn(text, /qrun audit .*$/).map(line => line.replace(/ {2}checks the log.*$/, ''));
      });
      expect(pasted(shell, lines)).toEqual(
        ODD.map(word => [
          'qrun',
          'audit',
          word.startsWith('-') ? `./${word}` : word,
          `--log=${word}`,
          `--param=a=${word}`,
        ]),
      );
    }
  });

  it('is the start of a paused group, wherever that is told', async () => {
    for (const style of STYLES) {
      const texts = await Promise.all(
        ODD.map(async group => [
          renderSubmission(
            {
              report: {
                ...paused(group),
                ...{ root: '/r', complete: [], elsewhere: [], cannot_run: [], hosts: null },
              },
              due: new Map(),
              queue: PUEUE,
            },
            style,
          ),
          renderStatus(
            {
              sweep: 's',
              group,
              slots: 1,
              paused_groups: [group],
              queue_problem: null,
              units: [],
              audit: { state: 'none', note: '', verdict: null, at: null },
              queries_per_second: 0,
              eta_ms: null,
              hosts: [],
            },
            style,
            { all: true, queue: PUEUE },
          ),
          renderProcessAll({ ...paused(group), results: '/r', done: [] }, PUEUE, style),
          renderDiagnosis(await diagnosisOf(group), style),
        ]),
      );
      const lines = texts
        .flat()
        .flatMap(text => commandsIn(text, /pueue start .*$/))
        .map(line => line.replace(/ {3}\(or submit.*$/, ''));
      expect(pasted(shell, lines)).toEqual(
        ODD.flatMap(group => Array.from({ length: 4 }, () => ['pueue', 'start', `--group=${group}`])),
      );
    }
  });
});

function paused(group: string) {
  return {
    submitted: [],
    queued: [],
    running: [],
    ended: [],
    audit: 'not due' as const,
    check: 'not due' as const,
    sweep: 's',
    group,
    slots: 1,
    group_paused: true,
    state_bytes: 1,
    dry_run: false,
  };
}

function diagnosisOf(group: string) {
  const state = {
    tasks: [queueTask({ group, label: 'qrun:s:u' })],
    groups: new Map([[group, { name: group, paused: true, slots: 1 }]]),
    stateBytes: 1,
  };
  const deps: DoctorDeps = {
    nodeVersion: '20.20.2',
    configuration: () => ({ root: '/sweep', file: undefined }),
    queueKind: PUEUE,
    queue: async () => ({ version: '4.0.4', state: async () => state }),
    engine: async () => ({ says: 'embedded', limits: {} }),
    usesServer: () => true,
    chdb: async () => {},
    locks: async () => 'koffi',
    memoryCaps: async () => undefined,
    mise: async () => undefined,
    logPlace: async () => ({ path: '/l', unwritable: undefined, freeBytes: 5e10, network: false }),
  };
  return diagnose(deps);
}

describe('with the real qrun', () => {
  const roots: string[] = [];
  afterEach(() => {
    for (const root of roots.splice(0)) removeTree(root);
  });

  function bash(cwd: string, command: string): string {
    const own = `qrun() { '${process.execPath}' '${builtQrun()}' "$@"; }`;
    return execFileSync('bash', ['--norc', '-s'], { input: `${own}\n${command}\n`, cwd, encoding: 'utf8' });
  }

  it('the audit behind a run finds the same log, for any directory and parameter', async () => {
    for (const name of ['-dash', "it's $HOME", 'esc\u001b[2J', 'new\nline', '--json']) {
      const root = tree({});
      roots.push(root);
      put(root, join(`./${name}`, 'q.sql'), 'SELECT {p:String} AS p');
      const log = `-log of ${name}`;
      const run = await qrun(['unit', `./${name}`, '--param', `p=${name}`, '--log', log], { cwd: root });
      expect(run).toMatchObject({ code: 0, stderr: expect.not.stringContaining('qrun: ') });
      const [command = ''] = commandsIn(run.stdout, /qrun audit .*$/);
      const said = bash(root, `${command.replace(/ {2}checks the log.*$/, '')} --json`);
      expect(JSON.parse(said)).toMatchObject({ verdict: 'complete', queries: 1, log: join(root, log) });
    }
  });

  it('the way to run one file chooses that file', async () => {
    // Each beside one that it matches as a glob.
    const files = [
      'a*b',
      '[ab]',
      '{a,b}',
      'a?c',
      '!x',
      '+(x)',
      '(a|b)',
      '^a',
      'a$',
      '-dash',
      "it's\n",
      'a\\b',
      '@(x)',
    ];
    const directory = scratch();
    writeFileSync(join(directory, 'qrun.toml'), '');
    mkdirSync(join(directory, '-u'));
    for (const name of [...files, 'aXb', 'a', 'b', 'aXc', 'x', 'y']) {
      writeFileSync(join(directory, '-u', `${name}.sql`), 'SELECT 1');
    }
    for (const name of files) {
      let said = '';
      try {
        directorySource(join(directory, '-u', `${name}.sql`)).list();
      } catch (error) {
        said = renderError(error, STYLES[0] as (typeof STYLES)[0]);
      }
      const [command = ''] = commandsIn(said, /qrun unit .*$/);
      const plan = JSON.parse(bash(directory, `${command} --dry-run --json`)) as {
        queries: { query: string }[];
      };
      expect([name, plan.queries.map(({ query }) => query)]).toEqual([name, [name]]);
    }
  });
});
