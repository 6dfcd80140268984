import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { QrunError } from '../../../src/core/errors.js';
import { ResultWriter } from '../../../src/io/engines/result-body.js';
import { FileLock } from '../../../src/io/files/flock.js';
import { localDisk } from '../../../src/io/log/disk.js';
import { ResultLog } from '../../../src/io/log/result-log.js';
import { check, sideFiles } from '../checker.js';
import { fingerprintOf, queryName, rowsOf } from '../expected.js';
import { UNIT } from '../log-trial.js';
import type { Place } from '../places.js';
import type { Context, Group, Row, Trial } from '../tally.js';

const SHAPE = { rows: 3, rowBytes: 60 };

async function openLog(path: string, repairs: string[] = []): Promise<ResultLog> {
  return await ResultLog.open({
    path,
    unit: UNIT,
    disk: localDisk,
    lock: await FileLock.open(`${path}.lock`),
    onRepair: ({ savedAs }) => repairs.push(savedAs),
  });
}

async function record(log: ResultLog, query: string, run = 'run-1'): Promise<void> {
  const head = {
    ...{ unit: UNIT, query, fingerprint: fingerprintOf(query), attempt: 1, run, rerun: false },
    ...{ queryId: `id-${query}`, startedAtMs: 1_700_000_000_000, durationMs: 2, parameters: {} },
  };
  const rows = rowsOf(query, SHAPE);
  if (rows.length === 0) {
    await log.append(head, { outcome: 'skipped', stats: undefined });
    return;
  }
  const writer = new ResultWriter({ directory: '/', thresholdBytes: Number.POSITIVE_INFINITY });
  for (const row of rows) await writer.write(Buffer.from(`${row}\n`));
  const body = await writer.finish();
  if ('reason' in body) throw new Error(body.reason);
  await log.append(head, { outcome: 'normal', body, stats: undefined });
}

// A log of whole groups, and where the last of them begins.
async function wholeLog(place: Place, groups: readonly number[]): Promise<{ bytes: Buffer; last: number }> {
  const path = join(place.directory, 'whole.ndjson');
  const log = await openLog(path);
  let last = 0;
  for (const n of groups) {
    last = readFileSync(path).length;
    await record(log, queryName(n));
  }
  await log.close();
  return { bytes: readFileSync(path), last };
}

/** Ends of logs made by hand: cut at every byte, filled with NULs, parts missing. */
export const tails: Group = {
  name: 'tails',
  async run(context) {
    const place = context.places.memory('tails');
    // The last group has 3 records, one record without rows, or a name that must be escaped in JSON.
    for (const [title, groups] of [
      ['the last group (3 records)', [1, 5, 2, 3]],
      ['a skipped query behind others', [1, 2, 5]],
      ['the only group', [1]],
    ] as const) {
      const row = context.row(`log cut at every byte of ${title}`);
      const { bytes, last } = await wholeLog(context.places.memory('tails-whole'), groups);
      const step = context.count(title.includes('3 records') ? 1 : 7, 1);
      for (let cut = last; cut < bytes.length; cut += step) {
        await tornTail(row, place, bytes.subarray(0, cut), last, `${title}-${cut}`);
      }
      row.end();
    }
    await filledTails(context, place);
    await oddTails(context, place);
    await place.remove();
  },
};

/** The same query twice: at the same time in one process, and by two who both found it due. */
export const twice: Group = {
  name: 'twice',
  async run(context) {
    const row = context.row('one query recorded twice at the same time');
    const place = context.places.memory('twice');
    for (let n = 0; n < context.count(20, 300); n += 1) {
      await row.trial(async trial => {
        const path = join(place.directory, `twice-${n}.ndjson`);
        const [one, other] = [await openLog(path), await openLog(path)];
        const due = [1, 2, 3, 5, 6].map(queryName);
        const logs = context.random(`twice-${n}`).shuffled([one, one, other, other]);
        await Promise.all(logs.flatMap((log, i) => due.map(query => record(log, query, `run-${i}`))));
        trial.injected();
        await Promise.all([one.close(), other.close()]);
        verdict(trial, path, 'twice');
      });
    }
    row.end();
    await place.remove();
  },
};

let number = 0;

// The end from `goodEnd` on must be saved aside byte for byte, and the log go on as if it had never been there.
async function tornTail(
  row: Row,
  place: Place,
  content: Buffer,
  goodEnd: number,
  what: string,
): Promise<void> {
  await row.trial(async trial => {
    number += 1;
    const path = join(place.directory, `tail-${number}.ndjson`);
    writeFileSync(path, content);
    trial.injected();
    const repairs: string[] = [];
    const log = await openLog(path, repairs);
    const due = [1, 2, 3, 5, 6].map(queryName).filter(query => log.final.get(query) === undefined);
    for (const query of due) await record(log, query, 'run-2');
    await log.close();
    const sides = sideFiles(path);
    const torn = content.subarray(goodEnd);
    trial.expect(sides.length === (torn.length > 0 ? 1 : 0), `${what}: ${sides.length} side files`);
    if (torn.length > 0)
      trial.expect(sides[0]?.bytes.equals(torn) ?? false, `${what}: the side file holds other bytes`);
    trial.expect(repairs.length === sides.length, `${what}: ${repairs.length} repairs were reported`);
    const after = readFileSync(path);
    trial.expect(
      after.subarray(0, goodEnd).equals(content.subarray(0, goodEnd)),
      `${what}: what was whole changed`,
    );
    verdict(trial, path, what);
  });
}

function verdict(trial: Trial, path: string, what: string): void {
  const settled = [1, 2, 3, 5, 6].map(queryName);
  const finding = check({ log: path, unit: UNIT, acks: [], rows: query => rowsOf(query, SHAPE), settled });
  trial.violations(finding.violations.map(text => `${what}: ${text} [${path}]`));
}

// After a power loss a file may end with NULs where data was due.
async function filledTails(context: Context, place: Place): Promise<void> {
  const row = context.row('end filled with NULs, 1 byte to 1 MB');
  const { bytes, last } = await wholeLog(context.places.memory('tails-whole'), [1, 5, 2, 3]);
  const middle = last + Math.floor((bytes.length - last) / 2);
  for (const nuls of [1, 2, 511, 4096, 65_536, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1]) {
    const zeros = Buffer.alloc(nuls);
    await tornTail(row, place, Buffer.concat([bytes, zeros]), bytes.length, `whole + ${nuls} NULs`);
    await tornTail(
      row,
      place,
      Buffer.concat([bytes, zeros, Buffer.from('\n')]),
      bytes.length,
      `${nuls} NULs + newline`,
    );
    await tornTail(row, place, Buffer.concat([bytes.subarray(0, middle), zeros]), last, `cut + ${nuls} NULs`);
    const newline = Buffer.concat([bytes.subarray(0, middle), zeros, Buffer.from('\n')]);
    await tornTail(row, place, newline, last, `cut + ${nuls} NULs + newline`);
    await tornTail(row, place, zeros, 0, `only ${nuls} NULs`);
  }
  row.end();
}

async function oddTails(context: Context, place: Place): Promise<void> {
  const row = context.row('parts missing, CRLF, half a line, nothing');
  const { bytes, last } = await wholeLog(context.places.memory('tails-whole'), [1, 5, 2, 3]);
  const firstLine = bytes.indexOf(10, last) + 1;
  const secondLine = bytes.indexOf(10, firstLine) + 1;
  await tornTail(row, place, bytes.subarray(0, firstLine), last, 'part 1 of 3');
  await tornTail(row, place, bytes.subarray(0, secondLine), last, 'parts 1 and 2 of 3');
  await tornTail(row, place, Buffer.concat([bytes, bytes.subarray(0, 1)]), bytes.length, 'one byte too many');
  await tornTail(
    row,
    place,
    Buffer.concat([bytes, Buffer.from([0xff, 0xfe, 0xc3])]),
    bytes.length,
    'no UTF-8',
  );
  await tornTail(row, place, Buffer.concat([bytes, Buffer.from('\r')]), bytes.length, 'a carriage return');
  await tornTail(row, place, Buffer.alloc(0), 0, 'an empty file');
  const crlf = Buffer.from(bytes.toString('utf8').replace(/\n$/, '\r\n'));
  await tornTail(row, place, crlf, crlf.length, 'CRLF at the end of the last line');
  row.end();
}

/** Damage before the end: refused with its offset, and nothing is changed. */
export const damage: Group = {
  name: 'damage',
  async run(context) {
    const row = context.row('damage in the middle of the log');
    const place = context.places.memory('damage');
    const { bytes } = await wholeLog(place, [1, 5, 2, 3, 6]);
    const random = context.random('damage');
    for (let n = 0; n < context.count(60, 2000); n += 1) {
      // Not in the last group, which could be taken for a torn end.
      const lines = lineStarts(bytes);
      const line = random.int(0, lines.length - 5);
      const [from, to] = [lines[line] ?? 0, (lines[line + 1] ?? 0) - 1];
      const at = random.int(from + 1, to - 1);
      const zeros = Buffer.alloc(random.int(1, 300));
      const [what, content] = random.pick<readonly [string, Buffer]>([
        ['cut line', Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)])],
        ['two lines in one', Buffer.concat([bytes.subarray(0, at), bytes.subarray(to + 1)])],
        ['NULs', Buffer.concat([bytes.subarray(0, at), zeros, bytes.subarray(at)])],
        ['NULs over data', Buffer.concat([bytes.subarray(0, at), Buffer.alloc(to - at), bytes.subarray(to)])],
        ['newline in a line', Buffer.concat([bytes.subarray(0, at), Buffer.from('\n'), bytes.subarray(at)])],
        ['text', Buffer.concat([bytes.subarray(0, from), Buffer.from('no record\n'), bytes.subarray(from)])],
        ['empty line', Buffer.concat([bytes.subarray(0, from), Buffer.from('\n'), bytes.subarray(from)])],
      ]);
      await row.trial(trial => damaged(trial, place, content, from, what));
    }
    row.end();
    await place.remove();
  },
};

async function damaged(
  trial: Trial,
  place: Place,
  content: Buffer,
  offset: number,
  what: string,
): Promise<void> {
  number += 1;
  const path = join(place.directory, `damage-${number}.ndjson`);
  writeFileSync(path, content);
  trial.injected();
  try {
    const log = await openLog(path);
    await log.close();
    trial.violation(`${what} at ${offset} was accepted [${path}]`);
  } catch (error) {
    const named = error instanceof QrunError && error.code === 'LOG_DAMAGED';
    trial.expect(named, `${what}: ${error}`);
    trial.expect(`${error}`.includes(`byte ${offset} `), `${what}: byte ${offset} is not named: ${error}`);
  }
  trial.expect(readFileSync(path).equals(content), `${what}: the log was changed`);
  trial.expect(sideFiles(path).length === 0, `${what}: a side file was made`);
}

function lineStarts(bytes: Buffer): number[] {
  const starts = [0];
  for (let at = bytes.indexOf(10); at !== -1 && at + 1 < bytes.length; at = bytes.indexOf(10, at + 1)) {
    starts.push(at + 1);
  }
  return starts;
}
