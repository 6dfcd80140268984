import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { appendLine } from '../../../src/io/files/write-file.js';
import { scratch } from '../machine/processes.js';

describe('appendLine', () => {
  it('closes the torn end of a killed writer first', async () => {
    const path = join(scratch(), 'lines');
    await appendLine(path, 'one');
    writeFileSync(path, 'tor', { flag: 'a' });
    await appendLine(path, 'two');
    expect(readFileSync(path, 'utf8')).toBe('one\ntor\ntwo\n');
  });
});
