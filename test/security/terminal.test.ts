import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.js';
import { quietOutput } from '../../src/cli/terminal/controls.js';
import { openLiveArea } from '../../src/cli/terminal/live-area.js';
import type { Terminal } from '../../src/cli/terminal/streams.js';
import { createStyle } from '../../src/cli/terminal/style.js';
import { jsonLine } from '../../src/core/text/json.js';
import { endAll, qrun, removeTree, tree } from '../integration/qrun.js';

const roots: string[] = [];
afterEach(() => {
  endAll();
  for (const root of roots.splice(0)) removeTree(root);
});

// ESC, BEL, CR, LF, CSI of C1, a bidirectional override, and what build servers obey.
const EVIL = 'e\u001b[31m\u0007\r\n::set-output name=a::b\u009b\u202e##[error]x';

function evilTree(): { root: string; unit: string } {
  const root = tree({});
  roots.push(root);
  const unit = join(root, EVIL, `u${EVIL}`);
  mkdirSync(unit, { recursive: true });
  writeFileSync(join(unit, `q${EVIL}.sql`), 'SELECT 1 AS v');
  writeFileSync(join(unit, `bad${EVIL}.sql`), `SELECT nothing_of_this AS "${EVIL.replace('\n', '')}"`);
  writeFileSync(join(unit, '_setup.sql'), 'SELECT 1');
  writeFileSync(join(root, EVIL, 'qrun.toml'), `[sweep]\nname = "s"\n`);
  writeFileSync(join(root, EVIL, 'jobs.toml'), `name = "n"\ncommand = ["true"]\n[matrix]\na = ["1"]\n`);
  return { root: join(root, EVIL), unit };
}

// All but line ends and tabs.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const RAW = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;

function expectQuiet(text: string, what: string): void {
  expect(RAW.exec(text)?.[0], what).toBeUndefined();
  const lines = text.split('\n').map(line => line.trim());
  expect(
    lines.filter(line => line.startsWith('::') || /##\w*\[/.test(line)),
    what,
  ).toEqual([]);
}

// What each command is given; with a program of its own in the way nothing is submitted.
const GIVEN: Readonly<
  Record<string, (at: { root: string; unit: string }) => readonly (readonly string[])[]>
> = {
  unit: ({ unit }) => [[unit], [unit, '--json'], [unit, '--why', '--dry-run'], [unit, '--events', 'ev']],
  plan: ({ unit }) => [[unit], [unit, '--json'], [`${unit}x`]],
  audit: ({ unit }) => [[unit], [unit, '--json']],
  'submit-all': ({ root }) => [[root], [root, '--setup', '--url', 'http://127.0.0.1:1'], [root, '--dry-run']],
  status: ({ root }) => [[root], [root, '--json']],
  'audit-all': ({ root }) => [[root], [root, '--json']],
  probe: ({ unit }) => [[unit]],
  autoscale: () => [['--once', '--dry-run']],
  'process-all': ({ root }) => [[join(root, 'jobs.toml'), '--dry-run'], [join(root, `${EVIL}.toml`)]],
  checkpoint: ({ root }) => [
    ['path', '--file', join(root, 'c')],
    ['get', '--file', join(root, 'c'), '--default', EVIL],
    ['set', EVIL, '--file', join(root, 'c')],
  ],
  job: ({ root }) => [[join(root, 'jobs.toml')], ['--jobs', join(root, EVIL)]],
  prune: ({ root }) => [[root], [root, '--json']],
  doctor: ({ unit }) => [[unit], [unit, '--json']],
  config: ({ unit }) => [[unit], [unit, '--json'], [unit, '--param', `a=${EVIL}`]],
  completion: () => [['bash'], [EVIL]],
};

const program = createProgram({} as Terminal, () => {});

describe('nothing that a terminal or a build server obeys comes out of', () => {
  it.each(program.commands.map(command => command.name()))(
    'qrun %s',
    async name => {
      const at = evilTree();
      const lines = (GIVEN[name] ?? (({ unit }) => [[unit]]))(at);
      for (const args of [...lines, [`--${EVIL}`], [EVIL, EVIL, EVIL, EVIL, EVIL]]) {
        const ended = await qrun([name, ...args], { cwd: at.root, env: { PATH: '/nowhere' } });
        const what = `qrun ${name} ${JSON.stringify(args)}`;
        expectQuiet(ended.stdout, `${what}: stdout`);
        expectQuiet(ended.stderr, `${what}: stderr`);
      }
    },
    120_000,
  );
});

it('a command that does not exist is named without its control characters', async () => {
  const { stderr, stdout } = await qrun([EVIL], { cwd: '/' });
  expectQuiet(stderr + stdout, 'qrun');
});

it('a unit whose name holds control characters is in no sweep', async () => {
  const { root } = evilTree();
  const ended = await qrun(['status', root], { cwd: root });
  expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining('holds control characters')]);
});

it('JSON holds the same, and nothing raw', () => {
  const value = { [EVIL]: [EVIL, '##vso[task.x]', '\u2028'] };
  expectQuiet(jsonLine<unknown>(value), 'json');
  expect(JSON.parse(jsonLine<unknown>(value))).toEqual(value);
});

describe('the last net before a stream', () => {
  it.each([
    ['\u001b[31mred\u001b[0m', { color: true }, '\u001b[31mred\u001b[0m'],
    ['\u001b[31mred', { color: false }, '\\x1b[31mred'],
    ['\u001b[2J\u001b]0;t\u0007', { color: true }, '\\x1b[2J\\x1b]0;t\\x07'],
    ['\r\u001b[Kn', { color: true }, '\\r\\x1b[Kn'],
    ['a\n  ::error::b\n::c', { color: false }, 'a\n  : :error::b\n: :c'],
    ['x ##[group]y ##vso[z]', { color: false }, 'x # #[group]y # #vso[z]'],
    ['a\tb\n', { color: false }, 'a\tb\n'],
  ])('%j', (text, rights, shown) => expect(quietOutput(text, rights)).toBe(shown));
});

it('what is drawn again and again moves the cursor only by itself', () => {
  const stream = new PassThrough();
  const area = openLiveArea(stream, createStyle({ color: true, unicode: true }), () => {});
  area.draw(['\u001b[32mgood\u001b[0m \u001b[2J\r'], ['kept \u001b]0;t\u0007 ::error::x']);
  area.close();
  const drawn = String(stream.read());
  expect(drawn).toContain('\u001b[32mgood');
  expect(drawn).toContain('\\x1b[2J\\r');
  expect(drawn).toContain('kept \\x1b]0;t\\x07 ::error::x');
  for (const raw of ['\u001b[2J', '\u001b]']) expect(drawn).not.toContain(raw);
});
