import { closeSync, constants, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../../../src/core/unit/events.js';
import { type EventsFile, openEventsFile } from '../../../src/io/log/events-file.js';
import { makeFifo, scratch, Worker } from '../machine/processes.js';

const event = (message: string): RunEvent => ({ type: 'warning', message });

function opened(
  path: string,
  refuse?: Parameters<typeof openEventsFile>[3],
): { events: EventsFile; failures: string[] } {
  const failures: string[] = [];
  const events = openEventsFile(
    path,
    () => 0,
    error => failures.push(error.message),
    refuse,
  );
  return { events, failures };
}

const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .filter(line => line !== '')
    .map(line => (JSON.parse(line) as { message: string }).message);

describe('events', () => {
  it('are appended, whole and in order, also when they come faster than they are written', async () => {
    const path = join(scratch(), 'events');
    writeFileSync(path, '');
    for (const run of ['a', 'b']) {
      const { events, failures } = opened(path);
      for (let n = 0; n < 5_000; n += 1) events.sink(event(`${run}${n}`));
      await events.close();
      expect(failures).toEqual([]);
    }
    const expected = ['a', 'b'].flatMap(run => Array.from({ length: 5_000 }, (_, n) => `${run}${n}`));
    expect(linesOf(readFileSync(path, 'utf8'))).toEqual(expected);
  });

  it.each<[string, (path: string) => void, string]>([
    ['a directory', path => mkdirSync(path), 'it is a directory, not a regular file'],
    ['a circle of links', path => symlinkSync(path, path), 'its symbolic links lead in a circle'],
    ['a full disk', path => symlinkSync('/dev/full', path), 'ENOSPC: no space left on device, write'],
    ['a pipe that nobody reads', makeFifo, 'it is a named pipe (FIFO) that nobody reads'],
  ])('go nowhere when that is %s: said once, and it ends', async (_, make, message) => {
    const path = join(scratch(), 'events');
    make(path);
    const { events, failures } = opened(path);
    for (let n = 0; n < 100; n += 1) events.sink(event('x'.repeat(1_000)));
    await events.close();
    events.sink(event('late'));
    await events.close();
    expect(failures).toEqual([message]);
  });

  it('do not go into a socket', async () => {
    const path = join(scratch(), 'events');
    const server = createServer().listen(path);
    await new Promise(resolve => server.once('listening', resolve));
    const { events, failures } = opened(path);
    await events.close();
    server.close();
    expect(failures).toEqual(['it is a socket, not a regular file']);
  });

  it('do not go where they are refused', async () => {
    const path = join(scratch(), 'events');
    writeFileSync(path, '');
    const { events, failures } = opened(path, { refuse: () => 'it is the log of the unit' });
    events.sink(event('x'));
    await events.close();
    expect(failures).toEqual(['it is the log of the unit']);
    expect(readFileSync(path, 'utf8')).toBe('');
  });

  it('reach a reader of a pipe, also one that comes late and reads slowly', async () => {
    const path = join(scratch(), 'events');
    makeFifo(path);
    const { events, failures } = opened(path);
    for (let n = 0; n < 3_000; n += 1) events.sink(event(`${n} ${'x'.repeat(300)}`));
    // 64 KiB at a time, as the pipe holds.
    const reader = new Worker(process.execPath, [
      '-e',
      `const fs = require('fs'); const fd = fs.openSync(${JSON.stringify(path)}, 'r'); let lines = 0;
       const buffer = Buffer.alloc(65536); const wait = new Int32Array(new SharedArrayBuffer(4));
       for (let got; (got = fs.readSync(fd, buffer)) > 0; Atomics.wait(wait, 0, 0, 20))
         lines += buffer.subarray(0, got).toString('latin1').split('\\n').length - 1;
       console.log(lines)`,
    ]);
    await events.close();
    expect(await reader.line()).toBe('3000');
    expect(failures).toEqual([]);
  });

  it('end within seconds when their reader stops reading', async () => {
    const path = join(scratch(), 'events');
    makeFifo(path);
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { events, failures } = opened(path);
    for (let n = 0; n < 3_000; n += 1) events.sink(event('x'.repeat(300)));
    await events.close();
    closeSync(fd);
    expect(failures).toEqual(['its reader takes nothing more']);
  });

  it('are dropped when their reader leaves', async () => {
    const path = join(scratch(), 'events');
    makeFifo(path);
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { events, failures } = opened(path);
    closeSync(fd);
    for (let n = 0; n < 3_000; n += 1) events.sink(event('x'.repeat(300)));
    await events.close();
    expect(failures).toEqual([expect.stringContaining('EPIPE')]);
  });

  it('that nobody takes do not fill the memory', async () => {
    const path = join(scratch(), 'events');
    makeFifo(path);
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { events, failures } = opened(path);
    for (let n = 0; n < 40 && failures.length === 0; n += 1) events.sink(event('x'.repeat(1024 * 1024)));
    expect(failures).toEqual(['its reader does not keep up']);
    await events.close();
    closeSync(fd);
  });
});
