import { mkdirSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { findSweepRoot } from '../../../src/io/unit/sweep-root.js';
import { directorySource, findSetupFiles, unitName } from '../../../src/io/unit/unit-files.js';
import { failureOf, scratch } from '../machine/processes.js';

// A directory with these files; what ends with `/` is an empty directory.
function tree(...paths: readonly string[]): string {
  const root = scratch();
  for (const path of paths) {
    mkdirSync(join(root, path.endsWith('/') ? path : dirname(path)), { recursive: true });
    if (!path.endsWith('/')) writeFileSync(join(root, path), 'SELECT 1');
  }
  return root;
}

describe('findSweepRoot', () => {
  it('is the directory of the nearest qrun.toml at or above the unit', () => {
    const root = tree('qrun.toml', 'a/qrun.toml', 'a/b/c/', 'd/');
    const file = (...parts: string[]) => join(root, ...parts, 'qrun.toml');
    expect(findSweepRoot(join(root, 'a/b/c'), '/')).toEqual({
      directory: join(root, 'a'),
      configFile: file('a'),
    });
    expect(findSweepRoot(join(root, 'a'), '/')).toEqual({
      directory: join(root, 'a'),
      configFile: file('a'),
    });
    expect(findSweepRoot(join(root, 'd'), '/')).toEqual({ directory: root, configFile: file() });
  });

  it("is else the current directory when the unit lies beneath it, else the unit's parent", () => {
    const root = tree('a/b/', 'ab/');
    const none = { configFile: undefined };
    expect(findSweepRoot(join(root, 'a/b'), root)).toEqual({ directory: root, ...none });
    expect(findSweepRoot(join(root, 'a/b'), '/')).toEqual({ directory: '/', ...none });
    const guess = { directory: root, ...none, guessed: true };
    expect(findSweepRoot(join(root, 'a'), join(root, 'a'))).toEqual(guess);
    expect(findSweepRoot(join(root, 'ab'), join(root, 'a'))).toEqual(guess);
  });

  it('passes over a directory of that name', () => {
    const root = tree('a/qrun.toml/', 'qrun.toml');
    expect(findSweepRoot(join(root, 'a'), '/').directory).toBe(root);
  });

  it('takes a file for a unit, and a unit that is missing, so that the listing can say so', () => {
    const root = tree('qrun.toml', 'a/q.sql');
    expect(findSweepRoot(join(root, 'a/q.sql'), '/').directory).toBe(root);
    expect(findSweepRoot(join(root, 'missing/deep'), '/').directory).toBe(root);
  });
});

describe('unitName', () => {
  it('is the path below the root', () => {
    expect(unitName('/sweep/2down/BTC', '/sweep')).toBe('2down/BTC');
    expect(unitName('/sweep/2down/', '/sweep')).toBe('2down');
    expect(unitName('/sweep', '/sweep')).toBe('sweep');
    expect(unitName('/sweep/..a', '/sweep')).toBe('..a');
  });
});

describe('the queries of a directory', () => {
  it('gives the names of all SQL files below, sorted', () => {
    const root = tree(
      'b.sql',
      'a/z.sql',
      'a/y/x.sql',
      'B.sql',
      'a.sql',
      'note.txt',
      'c.sql.bak',
      'é.sql',
      'x.sql/',
    );
    expect(directorySource(root).list()).toEqual(['B', 'a', 'a/y/x', 'a/z', 'b', 'é']);
  });

  it('leaves out what begins with _ or .', () => {
    const root = tree(
      '_setup.sql',
      '.hidden.sql',
      '_dir/a.sql',
      '.dir/a.sql',
      'a/_b.sql',
      'a/b_.sql',
      '.sql',
    );
    expect(directorySource(root).list()).toEqual(['a/b_']);
  });

  it('follows links to files and directories, each directory once', () => {
    const root = tree('a/x.sql', 'elsewhere/y.sql');
    symlinkSync(join(root, 'elsewhere'), join(root, 'linked'));
    symlinkSync(join(root, 'a/x.sql'), join(root, 'link.sql'));
    symlinkSync(root, join(root, 'a/loop'));
    symlinkSync(join(root, 'a'), join(root, 'z'));
    symlinkSync('/nonexistent', join(root, 'broken.sql'));
    symlinkSync('/nonexistent', join(root, 'broken'));
    expect(directorySource(root).list()).toEqual(['a/x', 'broken', 'elsewhere/y', 'link']);
    expect(() => directorySource(root).read('broken')).toThrow(
      'it is a symbolic link to something that is not there',
    );
  });

  it.each([
    ['UNIT_NOT_FOUND', 'missing', /^there is no directory .*missing$/],
    ['UNIT_NOT_FOUND', 'file.sql', /^.*file\.sql is a file, not a directory$/],
    ['UNIT_NOT_FOUND', 'file.sql/deep', /^there is no directory .*deep$/],
    ['UNIT_EMPTY', 'empty', /^.*empty holds no \*\.sql file$/],
  ])('fails with %s for %s', async (expected, name, text) => {
    const root = tree('file.sql', 'empty/_setup.sql', 'empty/note.txt');
    const { code, message, hint } = await failureOf(() => directorySource(join(root, name)).list());
    expect(code).toBe(expected);
    expect(message).toMatch(text);
    expect(hint).toBeTruthy();
  });
});

describe('findSetupFiles', () => {
  it('gives those from the root down to the unit, and no others', () => {
    const root = tree(
      '_setup.sql',
      'a/_setup.sql',
      'a/b/c/_setup.sql',
      'a/b/other/_setup.sql',
      'a/b/c/d/_setup.sql',
    );
    const files = (...paths: string[]) => paths.map(path => join(root, path, '_setup.sql'));
    expect(findSetupFiles(join(root, 'a/b/c'), root)).toEqual(files('', 'a', 'a/b/c'));
    expect(findSetupFiles(join(root, 'a/b'), join(root, 'a'))).toEqual(files('a'));
    expect(findSetupFiles(root, root)).toEqual(files(''));
  });

  it('passes over a directory of that name', () => {
    const root = tree('_setup.sql/', 'a/');
    expect(findSetupFiles(join(root, 'a'), root)).toEqual([]);
  });
});

describe('directorySource', () => {
  it('lists and reads', () => {
    const root = tree('a/b.sql');
    const source = directorySource(root);
    expect([source.directory, source.list()]).toEqual([root, ['a/b']]);
    expect(source.read('a/b').toString()).toBe('SELECT 1');
    expect(() => source.read('missing')).toThrow(/ENOENT/);
  });

  it.each([0, 1, 65_535, 65_536, 65_537, 300_000])('reads %d bytes as they are', length => {
    const root = tree('a.sql');
    const bytes = Buffer.from(Array.from({ length }, (_, i) => i % 251));
    writeFileSync(join(root, 'a.sql'), bytes);
    const source = directorySource(root);
    const read = source.read('a');
    // A second file does not change what was read of the first.
    source.read('a').fill(0);
    expect(read.equals(bytes)).toBe(true);
  });

  describe('that keeps', () => {
    const KEPT = 1024 * 1024;
    // A change of the clock's last tick does not show in a file's times.
    const settled = () => vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000);
    afterEach(() => void vi.restoreAllMocks());

    it('gives the text again while the file is unchanged', () => {
      settled();
      const source = directorySource(tree('a.sql', 'b.sql'), KEPT);
      source.list();
      expect(source.unchanged?.('a')).toBeUndefined();
      for (const name of ['a', 'b']) expect(source.read(name).toString()).toBe('SELECT 1');
      for (const name of ['a', 'b']) expect(source.unchanged?.(name)?.toString()).toBe('SELECT 1');
    });

    it.each<[string, (path: string) => void]>([
      ['written in place, of the same length', path => writeFileSync(path, 'SELECT 2')],
      [
        'written in place, with its old times',
        path => {
          const { atime, mtime, ctimeMs } = statSync(path);
          writeFileSync(path, 'SELECT 2');
          // Until the clock of the file system has gone on.
          do utimesSync(path, atime, mtime);
          while (statSync(path).ctimeMs === ctimeMs);
        },
      ],
      ['longer', path => writeFileSync(path, 'SELECT 22')],
      [
        'replaced',
        path => {
          writeFileSync(`${path}.new`, 'SELECT 2');
          renameSync(`${path}.new`, path);
        },
      ],
      ['gone', path => rmSync(path)],
      [
        'a directory',
        path => {
          rmSync(path);
          mkdirSync(path);
        },
      ],
    ])('gives nothing when the file is %s', (_, change) => {
      const root = tree('a.sql');
      utimesSync(join(root, 'a.sql'), 1_700_000_000, 1_700_000_000);
      settled();
      const source = directorySource(root, KEPT);
      source.list();
      source.read('a');
      change(join(root, 'a.sql'));
      expect(source.unchanged?.('a')).toBeUndefined();
    });

    it('keeps the first text that was read, so that a change back and forth is no other', () => {
      settled();
      const root = tree('a.sql');
      const source = directorySource(root, KEPT);
      source.list();
      source.read('a');
      writeFileSync(join(root, 'a.sql'), 'SELECT 22');
      expect(source.read('a').toString()).toBe('SELECT 22');
      expect(source.unchanged?.('a')).toBeUndefined();
    });

    it('keeps no later text of a file whose first was not kept', () => {
      const root = tree('a.sql');
      const source = directorySource(root, KEPT);
      source.list();
      source.read('a');
      settled();
      expect(source.read('a').toString()).toBe('SELECT 1');
      expect(source.unchanged?.('a')).toBeUndefined();
    });

    it('keeps no file that is too young for its times, no large one, and no more than it may', () => {
      const root = tree('a.sql', 'b.sql', 'large.sql');
      writeFileSync(join(root, 'large.sql'), Buffer.alloc(16 * 1024 + 1, ' '));
      const read = (limit: number) => {
        const source = directorySource(root, limit);
        source.list();
        for (const name of ['a', 'b', 'large']) source.read(name);
        return ['a', 'b', 'large'].filter(name => source.unchanged?.(name) !== undefined);
      };
      expect(read(KEPT)).toEqual([]);
      settled();
      expect(read(KEPT)).toEqual(['a', 'b']);
      expect(read(200)).toEqual(['a']);
      expect(read(0)).toEqual([]);
    });

    it('reads and keeps many, each its own', () => {
      settled();
      const names = Array.from({ length: 300 }, (_, i) => `q${i}`);
      const root = tree('z.sql');
      const textOf = (name: string) => name.padEnd(Number(name.slice(1)) * 20, ' x');
      for (const name of names) writeFileSync(join(root, `${name}.sql`), textOf(name));
      const source = directorySource(root, 16 * KEPT);
      source.list();
      for (const name of names) source.read(name);
      for (const name of names) expect(source.unchanged?.(name)?.toString()).toBe(textOf(name));
    });
  });

  it('fails with what it is, or the error of the system call', () => {
    const source = directorySource(tree('a.sql/'));
    expect(() => source.read('a')).toThrow('it is a directory, not a regular file');
    expect(() => source.read('b')).toThrow('ENOENT');
  });
});
