import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type SentFiles, sentFiles } from '../../../src/io/unit/sent-files.js';
import { put, removeTree, tree } from '../qrun.js';

describe('what a push has to know of the links of a tree', () => {
  const roots: string[] = [];
  afterEach(() => {
    for (const root of roots.splice(0)) removeTree(root);
  });

  const FILES = { 'u/a.sql': '1', 'u/_setup.sql': '2', 'u/x.txt': '', 'u/_no/b.sql': '', 'u/.no/b.sql': '' };

  function found(
    links: Readonly<Record<string, string>>,
    {
      units = ['u'],
      above = [''],
      anywhere = false,
    }: { units?: string[]; above?: string[]; anywhere?: boolean } = {},
  ): SentFiles {
    const root = tree({ ...FILES, 'secret.sql': 'hunter2', 'results/u.ndjson': '' });
    roots.push(root);
    for (const [path, to] of Object.entries(links)) {
      put(root, `${path}.made`, '');
      symlinkSync(to, join(root, path));
    }
    const kept = [join(root, 'secret.sql'), join(root, 'results')];
    const { files, followsLinks, hidden, refused } = sentFiles({
      ...{ root, units, above, kept },
      tree: anywhere ? null : root,
    });
    return { files, followsLinks, hidden, refused };
  }

  it('is nothing without links; files are counted as they are sent', () => {
    expect(found({})).toEqual({ files: 2, followsLinks: false, hidden: [], refused: [] });
  });

  it('is that a file with a password, logs and data stay, whatever links say, also where all may be followed', () => {
    for (const anywhere of [false, true]) {
      const { hidden, refused } = found({ 'u/p.sql': '../secret.sql', 'u/r': '../results' }, { anywhere });
      expect([...hidden].sort()).toEqual(['u/p.sql', 'u/r']);
      expect(refused.map(({ says }) => says)).toEqual([expect.stringContaining('stays on this machine')]);
    }
  });

  it('is which of several ways to a directory a run takes, and that circles end', () => {
    const { files, hidden } = found({ 'u/b/x.sql': '../a.sql', 'u/c': 'b', 'u/d': '..', 'u/e': '.' });
    // d leads to the root, in which u is read already.
    expect(hidden).toEqual(expect.arrayContaining(['u/e', 'u/d/u', 'u/d/secret.sql', 'u/d/results']));
    expect(hidden.filter(path => path === 'u/b' || path === 'u/c')).toHaveLength(1);
    expect(files).toBe(3);
  });

  it('is that a setup file, qrun.toml or a directory on the way is one', () => {
    for (const link of ['_setup.sql', 'qrun.toml']) {
      expect(found({ [link]: 'u/a.sql' })).toMatchObject({ followsLinks: true, hidden: [] });
    }
    expect(found({ _setup: 'u' })).toMatchObject({ followsLinks: false });
    expect(found({ way: 'u' }, { units: ['way'] })).toMatchObject({ followsLinks: true, hidden: [] });
    expect(found({ '_setup.sql': '/etc/hostname' })).toMatchObject({ hidden: ['_setup.sql'] });
    expect(found({ '_setup.sql': 'nowhere' }).refused).toEqual([
      { path: '_setup.sql', says: 'it is a symbolic link that leads nowhere' },
    ]);
  });
});
