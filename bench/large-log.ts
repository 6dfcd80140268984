import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { GroupHead } from '../src/core/log/record.js';
import { RecordBuffer } from '../src/core/log/record-buffer.js';

/** The logs on which reading and importing are measured. */
export const LOG_KINDS = [
  { name: 'long rows', rowBytes: 3_300, rows: 1 },
  { name: 'lines of 280 bytes', rowBytes: 14, rows: 3 },
] as const;

/** Writes a log of about `bytes` with one group for each query; resolves with the bytes of a line. */
export async function writeLog(
  path: string,
  { rowBytes, rows }: { rowBytes: number; rows: number },
  bytes: number,
): Promise<number> {
  const file = createWriteStream(path);
  const buffer = new RecordBuffer();
  const row = `{"text":"${'x'.repeat(Math.max(0, rowBytes - 11))}"}\n`;
  const body = Buffer.from(row.repeat(rows));
  let written = 0;
  let lines = 0;
  for (let i = 0; written < bytes; i += 1) {
    buffer.addRows(headOf(i), body, rows, undefined);
    lines += rows;
    if (buffer.length < 1024 * 1024) continue;
    const chunk = Buffer.from(buffer.take());
    written += chunk.length;
    if (!file.write(chunk)) await once(file, 'drain');
  }
  const rest = Buffer.from(buffer.take());
  file.end(rest);
  await once(file, 'close');
  return (written + rest.length) / lines;
}

const headOf = (i: number): GroupHead => ({
  unit: 'u',
  query: `BTCUSDT/2down__${i}`,
  fingerprint: (i * 2654435761).toString(16).padStart(16, '0').slice(-16),
  attempt: 1,
  run: '20260131T120000-08f74f6a',
  rerun: false,
  queryId: `qrun-20260131T120000-08f74f6a-${i}-1`,
  startedAtMs: 1_769_860_800_000 + i,
  durationMs: 12.3,
  parameters: {},
});
