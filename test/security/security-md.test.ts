import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../built.js';
import { TARGETS } from '../torture/fuzz/targets.js';
import { trialsOf } from './trials/run.js';

const text = readFileSync(`${ROOT}SECURITY.md`, 'utf8');
const promises = (text.split('\n## What qrun promises\n')[1] ?? '')
  .split('\n## ')[0]
  ?.split('\n')
  .filter(line => line.startsWith('| ') && !line.startsWith('| promise '));

// Tests whose names are made from a table.
const MADE: Readonly<Record<string, readonly string[]>> = {
  'test/security/trials.test.ts': trialsOf(ROOT).map(({ name }) => name),
  'test/security/fuzz.test.ts': TARGETS.map(({ name }) => name),
};

describe('SECURITY.md', () => {
  it('has promises', () => expect(promises?.length).toBeGreaterThan(10));

  it.each(promises?.map(line => [line.split('|')[1]?.trim().slice(0, 80), line]) ?? [])(
    'names tests that there are: %s',
    (_, line) => {
      const named = (line?.split('|')[2] ?? '').trim().split('<br>');
      for (const one of named) {
        const [, file = '', name = ''] = /^`(test\/[\w/-]+\.test\.ts)`: (.+)$/.exec(one) ?? [];
        expect(file, one).not.toBe('');
        expect(existsSync(`${ROOT}${file}`), file).toBe(true);
        const made = MADE[file];
        if (made !== undefined) expect(made, file).toContain(name);
        else expect(readFileSync(`${ROOT}${file}`, 'utf8'), file).toContain(name);
      }
    },
  );
});
