import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from './home.js';
import { MUTATIONS } from './mutations.js';

// `npm run torture` runs them; this says early that a line has changed and its mutation must follow.
test.each(MUTATIONS)('the safety line "$name" stands once in its file', ({ file, line }) => {
  expect(readFileSync(join(ROOT, file), 'utf8').split(line)).toHaveLength(2);
});

test('no two mutations have the same name', () => {
  expect(new Set(MUTATIONS.map(({ name }) => name)).size).toBe(MUTATIONS.length);
});
