import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ancestorsOf, pushRules } from '../../../src/core/hosts/push.js';
import { put, removeTree, tree } from '../qrun.js';

// What rsync, a shell or a file of rules could take for something else.
const ODD = ['a', 'b[1]', 'c*', 'd?', 'e\\f', '\\*', '-x', 'é', '{y}', 'z z', '#h', ';s', '+ p', '- m', '**'];
const DIRECTORIES = [...ODD, '[', 'a]', "q'", 'n\nl', 'dd.sql', '!'];
const FILES = [
  ...ODD.map(name => `${name}.sql`),
  ...['.hidden.sql', '_setup.sql', '_u.sql', 'x.csv', '.env', 'sql', 'B.SQL', 'qrun.toml'],
];

const directory = fc.constantFrom(...DIRECTORIES);
const unit = fc.array(directory, { minLength: 1, maxLength: 3 }).map(names => names.join('/'));
const file = fc
  .tuple(
    fc.oneof(unit, fc.constant('')),
    fc.array(fc.constantFrom(...DIRECTORIES, '.h', '_p'), { maxLength: 2 }),
    fc.constantFrom(...FILES),
  )
  .map(([above, below, name]) => [above, ...below, name].filter(part => part !== '').join('/'));

/** Directories of which none lies in another. */
function apart(all: readonly string[]): string[] {
  const one = [...new Set(all)];
  return one.filter(path => !ancestorsOf(path).some(outer => one.includes(outer)));
}

/** Whether a path is of what a push sends and removes, as the documents say it. */
function isOf(path: string, directories: readonly string[]): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const [within = ''] = ancestorsOf(path);
  if (path === 'qrun.toml') return true;
  if (name.startsWith('.') || !name.endsWith('.sql')) return false;
  if (name === '_setup.sql' && directories.some(own => ancestorsOf(own).includes(within))) return true;
  const own = directories.find(one => within === one || within.startsWith(`${one}/`));
  if (own === undefined) return false;
  return !within
    .slice(own.length)
    .split('/')
    .some(part => /^[._]/.test(part));
}

function contents(root: string): Record<string, string> {
  const found = (readdirSync(root, { recursive: true }) as string[])
    .filter(path => statSync(join(root, path)).isFile())
    .map(path => [path, readFileSync(join(root, path), 'utf8')]);
  return Object.fromEntries(found.sort());
}

it('whatever the names are, units are there as they are here, and all else there stays', {
  timeout: 120_000,
}, () => {
  fc.assert(
    fc.property(
      fc.array(unit, { minLength: 1, maxLength: 4 }),
      fc.array(unit, { maxLength: 2 }),
      fc.array(file, { maxLength: 12 }),
      fc.array(file, { maxLength: 12 }),
      (some, others, here, there) => {
        const units = apart(some);
        const gone = apart(others).filter(
          path => !units.includes(path) && !ancestorsOf(path).some(outer => units.includes(outer)),
        );
        const from = tree(Object.fromEntries(here.map(path => [path, 'here'])));
        const to = tree(Object.fromEntries(there.map(path => [path, 'there'])));
        // Files of a unit, for both to have some.
        for (const one of units) put(from, `${one}/own.sql`, 'here');
        for (const one of [...units, ...gone]) put(to, `${one}/old.sql`, 'there');
        const before = contents(to);
        const sent = Object.entries(contents(from)).filter(([path]) => isOf(path, units));
        execFileSync('rsync', ['-rtOI', '--delete', '--from0', '--filter=merge -', './', to], {
          cwd: from,
          input: pushRules({ units, gone, kept: [], hidden: [] }),
          stdio: ['pipe', 'ignore', 'inherit'],
        });
        const stays = Object.entries(before).filter(([path]) => !isOf(path, [...units, ...gone]));
        const after = contents(to);
        const expected = Object.fromEntries([...stays, ...sent].sort());
        expect(after).toEqual(expected);
        for (const root of [from, to]) removeTree(root);
      },
    ),
    { numRuns: 80 },
  );
});
