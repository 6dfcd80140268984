import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ROOT } from '../built.js';

const page = readFileSync(`${ROOT}docs/library.md`, 'utf8');
const index = readFileSync(`${ROOT}src/index.ts`, 'utf8');
const blocks = [...index.matchAll(/^export (?:type )?\{\n([^}]*(?:\{@link \w+\}[^}]*)*)\} from '[^']+';$/gm)];
const names = blocks.flatMap(([, block = '']) =>
  [...block.matchAll(/^ {2}(?:\/\*\* (.*) \*\/\n {2})?(?:type )?(\w+),$/gm)].map(
    ([, promise = '', name = '']) => ({
      name,
      promise,
    }),
  ),
);

// More than can be kept in mind is more than can be promised.
const MOST = 35;

test('the library has few names, and each makes a promise', () => {
  // In no other form, where nobody would count them.
  expect(blocks).toHaveLength(index.match(/^export\b/gm)?.length ?? 0);
  expect(names.length).toBeGreaterThan(10);
  expect(names.length).toBeLessThanOrEqual(MOST);
  for (const { name, promise } of names) expect(promise, name).toMatch(/^(?:Stable|Growing)[.:] /);
});

test('the page promises of each name what the source promises', () => {
  const rows = [...page.matchAll(/^\| (`.+?`) \| ((?:stable|growing)(?:, (?:stable|growing))*) \|/gm)];
  const promised = rows.flatMap(([, cell = '', promises = '']) => {
    const words = promises.split(', ');
    return [...cell.matchAll(/`(\w+)`/g)].map(([, name], at) => `${name} ${words[at] ?? words[0]}`);
  });
  const made = names.map(({ name, promise }) => `${name} ${/^\w+/.exec(promise)?.[0].toLowerCase()}`);
  expect(promised.sort()).toEqual(made.sort());
});
