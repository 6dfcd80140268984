import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { QrunError } from '../../../src/core/errors.js';
import type { LogVisitor } from '../../../src/core/log/scan/log-scan.js';
import { makeDirectories, syncDirectory, writeWhole } from '../../../src/io/files/write-file.js';
import { type LogFile, localDisk } from '../../../src/io/log/disk.js';
import { readLog } from '../../../src/io/log/follow.js';
import { normalGroup, skippedGroup, UNIT, watching } from '../../unit/log/log-samples.js';
import { CAN_MOUNT, failureOf, makeFifo, scratch, withSmallDisk } from '../machine/processes.js';

async function withFile(path: string, work: (file: LogFile) => Promise<void>): Promise<void> {
  const file = await localDisk.open(path);
  try {
    await work(file);
  } finally {
    file.close();
    file.close();
  }
}

describe('a file on the local disk', () => {
  it('is created when it is missing, and appended to wherever another wrote', async () => {
    const path = join(scratch(), 'x');
    await withFile(path, async file => {
      expect([file.sizeBytes(), file.isCurrent()]).toEqual([0, true]);
      await file.append(Buffer.from('one\n'));
      appendFileSync(path, 'other\n');
      await file.append(Buffer.from('two\n'));
      await file.sync();
      expect(file.sizeBytes()).toBe(14);
    });
    expect(readFileSync(path, 'utf8')).toBe('one\nother\ntwo\n');
    await withFile(path, async file => expect(file.sizeBytes()).toBe(14));
  });

  it.each([1, 128 * 1024, 128 * 1024 + 1, 5_000_000])('takes %d bytes whole', async bytes => {
    const path = join(scratch(), 'x');
    const content = Buffer.alloc(bytes, 'abcdefg');
    await withFile(path, file => file.append(content));
    expect(readFileSync(path).equals(content)).toBe(true);
  });

  it('is read at a position, up to its end', async () => {
    const path = join(scratch(), 'x');
    writeFileSync(path, 'abcdef');
    await withFile(path, async file => {
      const buffer = Buffer.alloc(4);
      expect(await file.read(buffer, 4, 1)).toBe(4);
      expect(buffer.toString()).toBe('bcde');
      expect(await file.read(buffer, 4, 4)).toBe(2);
      expect(await file.read(buffer, 4, 6)).toBe(0);
    });
  });

  it('is cut back, and appended to at the new end', async () => {
    const path = join(scratch(), 'x');
    await withFile(path, async file => {
      await file.append(Buffer.from('abcdef'));
      file.truncate(2);
      await file.append(Buffer.from('X'));
    });
    expect(readFileSync(path, 'utf8')).toBe('abX');
  });

  it('is not current any more once its name leads elsewhere, though it is opened again', async () => {
    const directory = scratch();
    for (const change of ['removed', 'replaced']) {
      const path = join(directory, change);
      await withFile(path, async file => {
        file.reopen();
        expect(file.isCurrent()).toBe(true);
        renameSync(path, `${path}.old`);
        expect(file.isCurrent()).toBe(false);
        // Opening it again must not create it: the log would be an empty one.
        expect(() => file.reopen()).toThrow(/ENOENT/);
      });
      await withFile(path, async file => {
        renameSync(path, `${path}.old`);
        writeFileSync(path, 'another');
        file.reopen();
        expect(file.isCurrent()).toBe(false);
      });
      rmSync(path);
    }
  });

  it('is rewritten in place, with the bytes that are there', async () => {
    const path = join(scratch(), 'x');
    const content = Buffer.alloc(2_500_000, 'abcdefg');
    writeFileSync(path, content);
    await withFile(path, async file => {
      await file.rewrite(10, content.length);
      await file.rewrite(0, content.length + 10);
      await file.rewrite(5, 5);
    });
    expect(readFileSync(path).equals(content)).toBe(true);
  });

  it('must be a regular file', async () => {
    const directory = scratch();
    mkdirSync(join(directory, 'directory'));
    makeFifo(join(directory, 'fifo'));
    await expect(localDisk.open(join(directory, 'directory'))).rejects.toThrow(
      'it is a directory, not a regular file',
    );
    await expect(localDisk.open(join(directory, 'fifo'))).rejects.toThrow(
      'it is a named pipe (FIFO), not a regular file',
    );
    await expect(localDisk.open('/dev/null')).rejects.toThrow('it is a device, not a regular file');
  });

  it('lies on no network', async () => {
    const path = join(scratch(), 'x');
    writeFileSync(path, '');
    expect(await localDisk.isNetwork(path)).toBe(false);
  });

  it.runIf(CAN_MOUNT)('keeps what a full disk took, and says so', async () => {
    await withSmallDisk(async directory => {
      for (const bytes of [100_000, 1_500_000]) {
        const path = join(directory, 'x');
        await withFile(path, async file => {
          await file.append(Buffer.alloc(900_000));
          await expect(
            file.append(Buffer.alloc(bytes)).then(() => file.append(Buffer.alloc(bytes))),
          ).rejects.toThrow(/ENOSPC/);
          expect(file.sizeBytes()).toBeGreaterThan(900_000);
          file.truncate(0);
        });
        rmSync(path);
      }
    });
  });
});

describe('a new file', () => {
  async function* pieces(...texts: (string | Error)[]): AsyncGenerator<Buffer> {
    for (const text of texts) {
      if (text instanceof Error) throw text;
      yield Buffer.from(text);
    }
  }

  it('holds all pieces', async () => {
    const path = join(scratch(), 'x');
    await localDisk.writeNew(path, pieces('one ', 'x'.repeat(2e6), ' two'));
    expect(readFileSync(path, 'utf8')).toBe(`one ${'x'.repeat(2e6)} two`);
  });

  it('is refused where a file is, and leaves that alone', async () => {
    const path = join(scratch(), 'x');
    writeFileSync(path, 'old');
    await expect(localDisk.writeNew(path, pieces('new'))).rejects.toThrow(/EEXIST/);
    expect(readFileSync(path, 'utf8')).toBe('old');
  });

  it('is not left half', async () => {
    const directory = scratch();
    await expect(
      localDisk.writeNew(join(directory, 'x'), pieces('half', new Error('read error'))),
    ).rejects.toThrow('read error');
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('makeDirectories', () => {
  it('makes a directory and those above it, and is content with one that is there', () => {
    const path = join(scratch(), 'a', 'b', 'c');
    for (let i = 0; i < 2; i += 1) {
      makeDirectories(path);
      expect(statSync(path).isDirectory()).toBe(true);
    }
    makeDirectories('/');
  });

  it('fails below a file, and where nothing can be made', () => {
    const directory = scratch();
    writeFileSync(join(directory, 'file'), '');
    expect(() => makeDirectories(join(directory, 'file', 'a'))).toThrow(/ENOTDIR/);
    expect(() => makeDirectories('/proc/qrun/a')).toThrow(/ENOENT/);
  });
});

describe('writeWhole', () => {
  it('writes a text in any script', () => {
    const path = join(scratch(), 'x');
    const fd = openSync(path, 'w');
    writeWhole(fd, 'é数😀\n');
    writeWhole(fd, '');
    closeSync(fd);
    expect(readFileSync(path, 'utf8')).toBe('é数😀\n');
  });
});

describe('syncDirectory', () => {
  it('takes directories only', async () => {
    const directory = scratch();
    await syncDirectory(directory);
    writeFileSync(join(directory, 'file'), '');
    await expect(syncDirectory(join(directory, 'file'))).rejects.toThrow(/ENOTDIR/);
  });
});

describe('readLog', () => {
  const visitor = (found: string[]): LogVisitor => ({
    group: ({ query }) => found.push(query),
    partial: ({ query }) => found.push(`half ${query}`),
    foreign: () => found.push('foreign'),
    newer: () => found.push('newer'),
    unreadable: () => found.push('unreadable'),
  });

  it('tells what is in a log of several megabytes, and how it ends, and changes nothing', async () => {
    const path = join(scratch(), 'x');
    const large = normalGroup(
      { query: 'a' },
      Array.from({ length: 30 }, () => `{"s":"${'x'.repeat(1e5)}"}`),
    );
    const log = Buffer.concat([large, Buffer.from('?\n'), skippedGroup({ query: 'b' })]);
    const torn = skippedGroup().subarray(0, 40);
    writeFileSync(path, Buffer.concat([log, torn]));
    const found: string[] = [];
    const tail = await readLog(path, UNIT, watching(visitor(found)));
    expect(found).toEqual(['a', 'unreadable', 'b']);
    expect(tail).toEqual({
      goodEnd: log.length,
      tornBytes: 40,
      reason: 'the last line has no end (40 bytes)',
    });
    expect(statSync(path).size).toBe(log.length + 40);
  });

  it('passes on what its visitor throws', async () => {
    const path = join(scratch(), 'x');
    writeFileSync(path, skippedGroup());
    const refusal = new QrunError('LOG_FOREIGN', 'another unit');
    const refusing = {
      ...visitor([]),
      group: () => {
        throw refusal;
      },
    };
    await expect(readLog(path, UNIT, watching(refusing))).rejects.toBe(refusal);
  });

  it('gives nothing when there is no log', async () => {
    expect(await readLog(join(scratch(), 'x'), UNIT, watching(visitor([])))).toBeUndefined();
  });

  it.each<[string, (path: string) => void, RegExp]>([
    ['a directory', path => mkdirSync(path), /it is a directory, not a regular file/],
    ['a FIFO', makeFifo, /it is a named pipe \(FIFO\), not a regular file/],
  ])('refuses %s', async (_, make, reason) => {
    const path = join(scratch(), 'x');
    make(path);
    const { code, message, hint } = await failureOf(readLog(path, UNIT, watching(visitor([]))));
    expect([code, hint]).toEqual(['READ_FAILED', expect.stringContaining('--log-dir')]);
    expect(message).toMatch(reason);
  });
});
