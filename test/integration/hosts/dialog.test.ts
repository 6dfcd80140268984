import { afterEach, describe, expect, it } from 'vitest';
import { Dialog } from '../../../src/io/hosts/dialog.js';

const LIMIT_MS = 20_000;
const open: Dialog[] = [];

/** A dialog with a program in JavaScript, which is given `lines`, what it reads line by line. */
function dialog(program: string, isAnswer = (line: string): boolean => line.startsWith('answer ')): Dialog {
  const lines = 'const lines = require("node:readline").createInterface({ input: process.stdin });';
  const one = new Dialog(process.execPath, ['-e', `${lines}${program}`], { PATH: '/usr/bin:/bin' }, isAnswer);
  open.push(one);
  return one;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map(one => one.close()));
});

describe('a dialog', () => {
  it('asks one program many questions, and passes over lines that are no answers', async () => {
    const one = dialog(
      'console.log("Welcome!"); lines.on("line", text => console.log("\\nanswer " + process.pid + " " + text));',
    );
    const first = await one.ask('a\n', LIMIT_MS);
    const second = await one.ask('b\n', LIMIT_MS);
    expect([first.ok, first.exitCode]).toEqual([true, 0]);
    expect(first.stdout).toMatch(/^answer \d+ a$/);
    expect(second.stdout).toBe(first.stdout.replace(/a$/, 'b'));
    expect(one.isBusy).toBe(false);
  });

  it('reads an answer of any length and any characters as one line', async () => {
    const text = 'ü\u2028\u{1F600}'.repeat(200_000);
    const one = dialog(
      'lines.on("line", () => console.log("answer " + "ü\\u2028\\u{1F600}".repeat(200000)));',
    );
    expect((await one.ask('?\n', LIMIT_MS)).stdout).toBe(`answer ${text}`);
  });

  it('says how the program ended that gave no answer, and what it said instead', async () => {
    const one = dialog('lines.on("line", () => { console.error("no such thing"); process.exit(127); });');
    const end = await one.ask('?\n', LIMIT_MS);
    expect([end.ok, end.exitCode, end.stderr, end.timedOut]).toEqual([false, 127, 'no such thing\n', false]);
    expect(one.hasEnded).toBe(true);
    expect(await one.ask('again\n', LIMIT_MS)).toBe(end);
  });

  it('does not take an end without an answer for a good one', async () => {
    const end = await dialog('process.exit(0);').ask('?\n', LIMIT_MS);
    expect([end.ok, end.exitCode]).toEqual([false, 0]);
  });

  it('stops a program that does not answer in time', async () => {
    const end = await dialog('lines.on("line", () => {});').ask('?\n', 300);
    expect([end.ok, end.timedOut]).toEqual([false, true]);
  });

  it('says that there is no such program', async () => {
    const one = new Dialog('/none/at/all', [], {}, () => true);
    expect((await one.ask('?\n', LIMIT_MS)).startError).toBe('ENOENT');
  });

  it('ends the program when it is closed', async () => {
    const one = dialog('lines.on("line", () => console.log("answer"));', () => true);
    await one.ask('?\n', LIMIT_MS);
    await one.close();
    expect(one.hasEnded).toBe(true);
  });
});
