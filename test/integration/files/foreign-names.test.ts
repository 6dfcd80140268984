import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foreignName } from '../../../src/io/files/foreign-names.js';
import { findSqlDirectories } from '../../../src/io/unit/sweep-files.js';
import { directorySource } from '../../../src/io/unit/unit-files.js';
import { scratch } from '../machine/processes.js';

/** A path beneath a directory, given as bytes in Latin-1. */
const path = (root: string, name: string): Buffer =>
  Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, 'latin1')]);

function unit(names: readonly string[]): string {
  const root = scratch();
  for (const name of names) {
    const parts = name.split('/');
    if (parts.length > 1) mkdirSync(path(root, parts.slice(0, -1).join('/')), { recursive: true });
    writeFileSync(path(root, name), 'SELECT 1');
  }
  return root;
}

const readAll = (root: string): [string, string][] => {
  const source = directorySource(root);
  return source.list().map(name => {
    try {
      return [name, source.read(name).toString()];
    } catch (error) {
      return [name, (error as Error).message];
    }
  });
};

describe('names that are not UTF-8', () => {
  it('are listed as they look, and told with their bytes when they are read', () => {
    const root = unit(['caf\xe9.sql', 'd\xff/deep/x.sql', 'd\xff/none.txt', 'e\xfe/none.txt', 'q.sql']);
    expect(readAll(root)).toEqual([
      ['caf\ufffd', 'its name is not UTF-8 (caf\\xe9.sql): rename it'],
      ['d\ufffd/deep/x', 'its name is not UTF-8 (d\\xff/deep/x.sql): rename it'],
      ['q', 'SELECT 1'],
    ]);
  });

  it('that look alike are one entry, and told all', () => {
    const root = unit(['caf\xe9.sql', 'caf\xe8.sql']);
    expect(readAll(root)).toEqual([
      ['caf\ufffd', 'its name is not UTF-8 (caf\\xe8.sql, caf\\xe9.sql): rename it'],
    ]);
  });

  it('are none where the replacement itself is the name', () => {
    // U+FFFD in UTF-8.
    const root = unit(['x\xef\xbf\xbd.sql', 'd\xef\xbf\xbd/y.sql']);
    expect(readAll(root)).toEqual([
      ['d\ufffd/y', 'SELECT 1'],
      ['x\ufffd', 'SELECT 1'],
    ]);
  });

  it('of directories stop neither the listing of a sweep nor of what is beside them', () => {
    const root = unit(['a/q.sql', 'd\xff/x.sql', 'd\xff/deep/x.sql', 'e\xfe/none.txt']);
    expect(findSqlDirectories(root, root)).toEqual([
      { path: '', files: 0, above: true },
      { path: 'a', files: 1, above: false },
      { path: 'd\ufffd', files: 2, above: false },
    ]);
    expect(() => directorySource(join(root, 'd\ufffd')).list()).toThrow(
      /the name of the directory .*\/d\\xff is not UTF-8/,
    );
  });

  it('are shown so that each byte can be told', () => {
    const byte = fc.integer({ min: 1, max: 255 }).filter(n => n !== 0x2f);
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 12 })
      .map(bytes => bytes.map(n => ([0, 0x2f, 0x5c].includes(n) ? 0x61 : n)));
    fc.assert(
      fc.property(name, byte, (bytes, last) => {
        // A continuation byte at the end of a name that ends otherwise is no UTF-8.
        const whole = Buffer.concat([bytes, Buffer.from([0x61, 0x80 | (last & 0x3f)])]);
        const root = scratch();
        writeFileSync(Buffer.concat([Buffer.from(`${root}/`), whole]), '');
        const shown = foreignName(root, whole.toString('utf8')) ?? '';
        const back = shown.replace(/[^\0-\x7f]/gu, text => Buffer.from(text).toString('latin1'));
        const bytesBack = Buffer.from(
          back.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
            String.fromCharCode(Number.parseInt(hex, 16)),
          ),
          'latin1',
        );
        expect(bytesBack.equals(whole)).toBe(true);
      }),
    );
  });
});
