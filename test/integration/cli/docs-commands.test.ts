import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createProgram } from '../../../src/cli/program.js';
import { openTerminal } from '../../../src/cli/terminal/streams.js';
import { builtQrun, ROOT } from '../../built.js';
import { servicesRequired } from '../../services/clickhouse-server.js';
import { scratch } from '../machine/processes.js';
import { put, qrun, removeTree, tree } from '../qrun.js';

const DOCS = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`),
];
const text = (doc: string): string => readFileSync(join(ROOT, doc), 'utf8');

/** The lines of all shell blocks of a document, without comments. */
function shellLines(doc: string): string[] {
  return [...text(doc).matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = '']) =>
    block.split('\n').map(line => line.replace(/\s+# .*$/, '').trim()),
  );
}

const available = (program: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) removeTree(root);
});

/** Runs a command line of a document as it stands, with this qrun in place of the installed one. */
function bash(cwd: string, line: string, env: Readonly<Record<string, string>> = {}): string {
  const own = [
    `qrun() { '${process.execPath}' '${builtQrun()}' "$@"; }`,
    'npx() { "$@"; }',
    'npm() { [ "$*" = ci ]; }',
  ];
  const { PATH = '' } = process.env;
  return execFileSync('bash', ['-c', `${own.join('; ')}\n${line}`], {
    cwd,
    encoding: 'utf8',
    env: { PATH, HOME: '/nonexistent', LANG: 'C.UTF-8', ...env },
  });
}

describe('the documents', () => {
  it('name commands and options that there are', () => {
    const program = createProgram(openTerminal(process), () => {});
    let found = 0;
    for (const doc of DOCS) {
      const inline = [...text(doc).matchAll(/`(qrun [^`\n]*)`/g)].map(([, line = '']) => line);
      const console = text(doc)
        .split('\n')
        .filter(line => line.startsWith('$ '))
        .map(line => line.slice(2));
      for (const line of [...inline, ...console, ...shellLines(doc)]) {
        for (const [, name = '', rest = ''] of line.matchAll(/\bqrun ([a-z][a-z-]*)([^;&|]*)/g)) {
          const command = program.commands.find(one => one.name() === name);
          expect([doc, line, command?.name()]).toEqual([doc, line, name]);
          // What stands in quotes belongs to something else.
          for (const [option] of rest.replace(/'[^']*'|"[^"]*"/g, '').matchAll(/(?<=\s)--[a-z][a-z-]*/g)) {
            const options = [command, ...(command?.commands ?? [])].flatMap(one => one?.options ?? []);
            const known = option === '--help' || options.some(({ long }) => long === option);
            expect([doc, line, option, known]).toEqual([doc, line, option, true]);
          }
          found += 1;
        }
      }
    }
    expect(found).toBeGreaterThan(40);
  });

  it('show what a run and an audit of the sample print', () => {
    const root = scratch();
    cpSync(join(ROOT, 'sql'), join(root, 'sql'), { recursive: true });
    const [run = ''] = shellLines('README.md').filter(line => line.startsWith('npm ci && npx qrun unit'));
    expect(bash(root, `${run} --quiet`)).toContain('290 lines appended');
    const shown = /```console\n\$ (npx qrun audit [^\n]*)\n([\s\S]*?)```/.exec(text('README.md'));
    expect(bash(root, shown?.[1] ?? 'false')).toBe(shown?.[2]?.replace('/home/you/qrun', root));
  });

  it('count with a checkpoint in a shell script', () => {
    const lines = shellLines('docs/process-jobs.md').filter(line => line.includes('qrun checkpoint'));
    expect(lines).toHaveLength(2);
    const root = scratch();
    const env = { QRUN_CHECKPOINT: join(root, 'step') };
    for (const _ of [1, 2, 3]) bash(root, lines.join('\n'), env);
    expect(bash(root, 'qrun checkpoint get', env)).toBe('3\n');
  });
});

describe.runIf(available('jq') || servicesRequired())('the jq line of the README', () => {
  const [, line = 'false'] = /With jq: `(jq [^`]*)`/.exec(text('README.md')) ?? [];

  it('prints the rows of the last result of each query, digit by digit', async () => {
    const root = tree({
      // Keys and texts that look like the one that the line looks for.
      'u/big.sql':
        "SELECT 18446744073709551615 AS u, toInt64(-9223372036854775808) AS i, toDecimal128('0.10000000000000000000000001', 26) AS d, {row:String} AS p, ',\"row\":{}' AS t, CAST(tuple(5), 'Tuple(row UInt8)') AS row",
      'u/failed.sql': 'SELECT no_such_column',
      'u/none.sql': 'SELECT 1 AS x WHERE 0',
      'u/two.sql': 'SELECT number FROM numbers(3)',
    });
    roots.push(root);
    const unit = () =>
      qrun(['unit', 'u', '-q', '--param', 'row=,"row":{}', '--log', 'log.ndjson'], { cwd: root });
    expect((await unit()).code).toBe(20);
    put(root, 'u/two.sql', 'SELECT toUInt64(18446744073709551613) + number AS number FROM numbers(2)');
    expect((await unit()).code).toBe(20);
    const rows = bash(root, line).split('\n').slice(0, -1);
    expect(rows).toEqual([
      `{"u":18446744073709551615,"i":-9223372036854775808,"d":0.10000000000000000000000001,"p":",\\"row\\":{}","t":",\\"row\\":{}","row":{"row":5}}`,
      '{"number":18446744073709551613}',
      '{"number":18446744073709551614}',
    ]);
  });
});
