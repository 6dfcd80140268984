import { once } from 'node:events';
import { closeSync, createWriteStream, openSync, readSync } from 'node:fs';
import { RecordEncoder } from '../../../src/core/log/record.js';
import { fingerprinter } from '../../../src/core/unit/fingerprint.js';
import { clickHouseServerAvailable, startClickHouseServer } from '../../services/clickhouse-server.js';
import { startAnswers } from '../answers.js';
import { type Child, peakMemory } from '../child.js';
import { describe } from '../log-trial.js';
import type { Context, Group, Trial } from '../tally.js';
import { UnitTrial } from '../unit-trial.js';

const LIMIT_BYTES = 300 * 1024 * 1024;
const PAD_BYTES = 10_000;
const MEGABYTE = 1024 * 1024;

/** Memory of the process, whatever a query returns and however long the log is. */
export const memory: Group = {
  name: 'memory',
  async run(context) {
    await largeResult(context);
    await longLog(context);
  },
};

async function largeResult(context: Context): Promise<void> {
  const rows = context.count(20_000, 500_000);
  const gigabytes = ((rows * (PAD_BYTES + 20)) / 1e9).toFixed(1);
  const row = context.row(`a result of ${gigabytes} GB is recorded in less than 300 MB of memory`);
  const pad = 'abcdefghij'.repeat(PAD_BYTES / 10);
  await row.trial(async trial => {
    const source = await sourceOf(context, pad, rows);
    const place = context.places.disk('large');
    const unit = new UnitTrial({
      ...{ home: context.home, place, url: source.url, rows: () => [] },
      sql: {
        big: `SELECT number AS i, '${pad}' AS pad FROM system.numbers LIMIT ${rows}`,
        small: 'SELECT 1',
      },
    });
    const args = ['--timeout', '20m', ...source.args];
    const run = unit.run({ args, limitMs: 1_200_000 });
    const peak = watchMemory(run);
    const ended = await run.ended;
    await source.stop();
    trial.injected();
    trial.expect(ended.code === 0, `exit code 0 was due: ${describe(ended)}`);
    const peakBytes = peak();
    trial.expect(peakBytes < LIMIT_BYTES, `the process had ${Math.round(peakBytes / MEGABYTE)} MB`);
    trial.expect(peakBytes > 0, 'its memory was not measured');
    checkLargeLog(trial, unit.log, pad, rows);
    row.note(`peak ${Math.round(peakBytes / MEGABYTE)} MB, ${source.name}`);
    await place.remove();
  });
  row.end();
}

async function sourceOf(
  context: Context,
  pad: string,
  rows: number,
): Promise<{ url: string; args: string[]; name: string; stop: () => Promise<void> }> {
  if (context.scale === 'full' && clickHouseServerAvailable()) {
    const server = await startClickHouseServer();
    // Small blocks, so that the server does not need gigabytes for one.
    const args = ['--set', 'max_block_size=1000'];
    return { url: server.url, args, name: 'real server', stop: () => server.stop() };
  }
  const answers = await startAnswers();
  answers.stream = async (sql, response) => {
    if (!sql.includes('AS pad FROM system.numbers LIMIT')) return false;
    let lines: string[] = [];
    for (let i = 0; i < rows; i += 1) {
      lines.push(`{"i":${i},"pad":"${pad}"}\n`);
      if (lines.length < 100 && i + 1 < rows) continue;
      if (!response.write(lines.join(''))) await once(response, 'drain');
      lines = [];
    }
    response.end();
    return true;
  };
  return { url: answers.url, args: [], name: 'streaming test server', stop: () => answers.stop() };
}

function watchMemory(child: Child): () => number {
  let peakBytes = 0;
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, peakMemory(child.pid) ?? 0);
  }, 20);
  void child.ended.finally(() => clearInterval(timer));
  return () => peakBytes;
}

// Line by line, because the log does not fit into memory here either.
function checkLargeLog(trial: Trial, path: string, pad: string, rows: number): void {
  let part = 0;
  let bad = 0;
  for (const line of linesOf(path)) {
    if (line.includes('"query":"small"')) continue;
    const head = line.subarray(0, 600).toString('latin1');
    const isNext = head.includes(`"query":"big","part":${part + 1},"parts":${rows},`);
    const row = line.subarray(line.indexOf('"row":') + 6, line.length - 1);
    if (!isNext || row.toString('latin1') !== `{"i":${part},"pad":"${pad}"}`) bad += 1;
    part += 1;
  }
  trial.expect(part === rows && bad === 0, `${part} of ${rows} records, ${bad} of them wrong`);
}

function* linesOf(path: string): Generator<Buffer> {
  const fd = openSync(path, 'r');
  const chunk = Buffer.allocUnsafe(4 * MEGABYTE);
  let carry: Buffer = Buffer.alloc(0);
  for (let got = readSync(fd, chunk); got > 0; got = readSync(fd, chunk)) {
    const bytes = Buffer.concat([carry, chunk.subarray(0, got)]);
    let from = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, from)) {
      yield bytes.subarray(from, end);
      from = end + 1;
    }
    carry = bytes.subarray(from);
  }
  closeSync(fd);
}

async function longLog(context: Context): Promise<void> {
  const queries = context.count(1_000, 20_000);
  const rows = 3;
  const rowBytes = 50_000;
  const gigabytes = ((queries * rows * rowBytes) / 1e9).toFixed(1);
  const row = context.row(`a log of ${gigabytes} GB resumes in less than 300 MB of memory`);
  await row.trial(async trial => {
    const answers = await startAnswers();
    const place = context.places.disk('long');
    const names = Array.from({ length: queries + 5 }, (_, n) => `l${String(n).padStart(6, '0')}`);
    const unit = new UnitTrial({
      ...{ home: context.home, place, url: answers.url, rows: () => [] },
      sql: Object.fromEntries(names.map(name => [name, `SELECT '${name}'`])),
      logDirectory: place.directory,
    });
    await writeLog(unit.log, names.slice(0, queries), rows, rowBytes);
    const run = unit.run({ limitMs: 600_000 });
    const peak = watchMemory(run);
    const ended = await run.ended;
    trial.injected();
    trial.expect(ended.code === 0, `exit code 0 was due: ${describe(ended)}`);
    trial.expect(answers.other === 5, `${answers.other} queries were run, 5 were due`);
    const audit = unit.startAudit();
    const auditPeak = watchMemory(audit);
    const report = await audit.ended;
    trial.expect(report.code === 0, `audit: exit code 0 was due: ${describe(report)}`);
    const peaks = [peak(), auditPeak()].map(bytes => Math.round(bytes / MEGABYTE));
    trial.expect(
      Math.max(...peaks) * MEGABYTE < LIMIT_BYTES && Math.min(...peaks) > 0,
      `peaks of ${peaks} MB`,
    );
    row.note(`peak ${peaks[0]} MB (unit), ${peaks[1]} MB (audit)`);
    await answers.stop();
    await place.remove();
  });
  row.end();
}

async function writeLog(
  path: string,
  names: readonly string[],
  rows: number,
  rowBytes: number,
): Promise<void> {
  const fingerprint = fingerprinter({ parameters: {}, settings: {} });
  const stream = createWriteStream(path);
  for (const name of names) {
    const head = {
      ...{ unit: 'unit', query: name, fingerprint: fingerprint(Buffer.from(`SELECT '${name}'`)) },
      ...{ attempt: 1, run: 'earlier', rerun: false, queryId: `id-${name}`, startedAtMs: 1_700_000_000_000 },
      ...{ durationMs: 3, parameters: {} },
    };
    const encoder = new RecordEncoder(head, rows, undefined);
    const body = Array.from(
      { length: rows },
      (_, i) => `{"q":"${name}","i":${i},"pad":"${'x'.repeat(rowBytes)}"}\n`,
    );
    const bytes = Buffer.concat(encoder.encode(Buffer.from(body.join(''))));
    if (!stream.write(bytes)) await once(stream, 'drain');
  }
  stream.end();
  await once(stream, 'close');
}
