import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shellCommand, shellWord } from '../../../src/core/text/shell.js';

const PRINT = [process.execPath, '-e', 'process.stdout.write(JSON.stringify(process.argv.slice(1)))', '--'];

function sh(command: string): string {
  // This very file: a program that read its input would print it.
  const input = openSync(fileURLToPath(import.meta.url), 'r');
  try {
    return execFileSync('sh', ['-c', command], { encoding: 'utf8', stdio: [input, 'pipe', 'inherit'] });
  } finally {
    closeSync(input);
  }
}

function seenBySh(args: readonly string[]): unknown {
  return JSON.parse(sh(shellCommand([...PRINT, ...args])));
}

describe('shellCommand', () => {
  it('gives a program its words as they are, whatever is in them', () => {
    const odd = [
      '',
      ' ',
      'a b',
      "it's",
      '"',
      '$HOME',
      '`id`',
      '$(id)',
      '\\',
      '*',
      '~',
      '!',
      '#x',
      'a\nb',
      'é',
      '{{x}}',
      '-n',
      ';',
      '&&',
      '>x',
      "''",
      "'\\''",
    ];
    expect(seenBySh(odd)).toEqual(odd);
  });

  it('does so for any text', () => {
    const word = fc.string({ unit: 'grapheme' }).map(text => text.replaceAll('\0', ''));
    fc.assert(
      fc.property(fc.array(word, { minLength: 20, maxLength: 60 }), words => {
        expect(seenBySh(words)).toEqual(words);
      }),
      { numRuns: 10 },
    );
  });

  it('takes the place of the shell and gives an empty input', () => {
    const command = shellCommand(['sh', '-c', 'cat; echo $PPID']);
    expect(sh(command).trim()).toBe(String(process.pid));
  });

  it('leaves plain words readable', () => {
    expect(shellWord('/a/b-c.d@x=1,y:2')).toBe('/a/b-c.d@x=1,y:2');
    expect(shellWord("a'b")).toBe(`'a'\\''b'`);
  });
});
