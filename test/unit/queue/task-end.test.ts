import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXIT_TABLE } from '../../../src/core/errors.js';
import { taskAnswer, taskEndTable, taskRule } from '../../../src/core/queue/task-end.js';
import { ROOT } from '../../built.js';

describe('the end of a task', () => {
  it.each([
    [0, 'done', false, 1],
    [20, 'done_with_errors', false, 1],
    [22, 'retry_here', false, null],
    [24, 'retry_here', true, null],
    [26, 'retry_here', true, null],
    [137, 'retry_here', true, 3],
    [23, 'retry_elsewhere', true, 2],
    [129, 'stopped', false, 1],
    [130, 'stopped', false, 1],
    [143, 'stopped', false, 1],
    [1, 'never', false, 1],
    [2, 'never', false, 1],
    [21, 'never', false, 1],
    [25, 'never', false, 1],
  ] as const)('with %i is %s', (code, end, counts, starts) => {
    expect(taskRule(code)).toMatchObject({ end, counts, starts });
  });

  it('with a code that qrun does not return is that of a process that was killed', () => {
    for (const code of [134, 139, 255, 126, 127]) expect(taskRule(code)).toBe(taskRule(137));
  });

  it('is what its scheduler learns: errors of queries are no failure, and what helps later is started again', () => {
    expect(taskAnswer(0, 1)).toEqual({ exitCode: 0, again: false });
    expect(taskAnswer(20, 1)).toEqual({ exitCode: 0, again: false });
    expect(taskAnswer(21, 1)).toEqual({ exitCode: 21, again: false });
    expect(taskAnswer(143, 1)).toEqual({ exitCode: 143, again: false });
    // All nodes have the same disk.
    expect(taskAnswer(23, 1)).toEqual({ exitCode: 23, again: false });
    for (const code of [22, 24, 26]) {
      expect([1, 9, 10, 99].map(starts => taskAnswer(code, starts).again)).toEqual([
        true,
        true,
        false,
        false,
      ]);
      expect(taskAnswer(code, 1).exitCode).toBe(code);
    }
    expect([1, 2, 3].map(starts => taskAnswer(137, starts).again)).toEqual([true, true, false]);
  });

  it('is in the table of the documents as in the code, with each code once', () => {
    const table = taskEndTable();
    for (const { code } of EXIT_TABLE) {
      const rows = table
        .split('\n')
        .filter(row => new RegExp(`^\\| (?:\\d+, )*${code}(?:, \\d+)* \\|`).test(row));
      expect(rows, String(code)).toHaveLength(1);
    }
    expect(readFileSync(join(ROOT, 'docs/scale.md'), 'utf8')).toContain(
      `<!-- task-ends -->\n${table}\n<!-- /task-ends -->`,
    );
  });
});
