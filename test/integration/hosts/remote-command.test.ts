import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { lookCommand, parseLook } from '../../../src/core/hosts/look.js';
import { remoteCommand } from '../../../src/core/text/shell.js';

// The login shells that people have; sshd calls each with -c and the whole command.
const SHELLS = ['sh', 'dash', 'bash', 'zsh', 'ksh', 'fish', 'tcsh'];
const isInstalled = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).error === undefined;

// Every character that is printed, beside others and alone, and what means something to one of the shells.
const CHARACTERS = Array.from({ length: 95 }, (_, n) => String.fromCharCode(32 + n));
const WORDS = [
  ...CHARACTERS,
  ...CHARACTERS.map(one => `a${one}${one}b`),
  ...['', '-n', '--', '~', '~root', '!!', '!-1', '$HOME', '$\u007bHOME}', '$(id)', '`id`', '"$HOME"', "it's"],
  ...[
    "'",
    "'''",
    '\\',
    '\\\\',
    "\\'",
    "'\\",
    '\\n',
    'a\tb',
    '%s',
    '=ls',
    '{a,b}',
    'a;b',
    'a&&b',
    '#x',
    'é ü 漢',
  ],
  ...['^a^b', '[a-z]*', '?', '(x)', '<x', '>x', '2>&1', '*', 'x=y', '\\$HOME', '@', '%self'],
];

describe.each(SHELLS)('in %s', shell => {
  it.skipIf(!isInstalled(shell))('a program gets the very words', () => {
    const script = 'process.stdout.write(JSON.stringify(process.argv.slice(1)))';
    const command = remoteCommand([process.execPath, '-e', script, '--', ...WORDS]);
    const { stdout, stderr } = spawnSync(shell, ['-c', command], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual(WORDS);
  });

  it.skipIf(!isInstalled(shell))('a look at a host tells what is there', () => {
    const command = remoteCommand(lookCommand("/nonexistent/it's", 'no-such-queue', ['no such qrun']));
    const { stdout } = spawnSync(shell, ['-c', command], { encoding: 'utf8' });
    const look = parseLook(stdout);
    expect(look).toMatchObject({
      node: process.versions.node,
      queue: '',
      qrun: { exitCode: 127 },
      root: 'none',
      nearest: '/',
    });
    expect(Math.abs((look?.clockS ?? 0) - Date.now() / 1000)).toBeLessThan(60);
    expect(look?.freeBytes).toBeGreaterThan(0);
  });
});

it('what no argument can hold, and what csh cannot quote, is not sent', () => {
  for (const word of ['a\0b', 'a\nb', 'a\rb'])
    expect(() => remoteCommand(['x', word])).toThrow(/cannot be a word/);
});

it('what is not the output of the script is not believed', () => {
  for (const text of ['', 'qrun-look 1', 'qrun-look 1\nclock=1\n', 'This account is not available.\n']) {
    expect(parseLook(text)).toBeUndefined();
  }
  const motd = 'Welcome!\nroot=none\nqrun-look 1\nroot=sweep\nhere={"version":1}\nexit=0\nqrun=0.1.0\n';
  expect(parseLook(motd)).toMatchObject({ root: 'sweep', qrun: { version: '0.1.0' }, clockS: undefined });
});
