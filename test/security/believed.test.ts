import { chmodSync, linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { FinalStates } from '../../src/core/log/scan/index.js';
import { believeBelow, distrustAt, isBelieved } from '../../src/io/files/owner.js';
import { localDisk } from '../../src/io/log/disk.js';
import { readLog } from '../../src/io/log/follow.js';
import { appendRun, type RunEnd, readRuns } from '../../src/io/log/run-sidecar.js';
import { scratch } from '../integration/machine/processes.js';

const END: RunEnd = {
  event: 'end',
  run: 'r',
  at: '2026-01-31T12:00:10.000Z',
  recorded: { normal: 1, skipped: 0, error: 0 },
  records: 1,
  not_run: 0,
  exit_code: 0,
};

// What is said in this file holds for its process, so that nothing else is tested here.
it('what the user said to believe is believed, whoever may write to it, and nothing beside it', async () => {
  const place = scratch();
  const logs = ['tree/u.ndjson', 'tree-2/u.ndjson'].map(name => join(place, name));
  for (const name of ['tree', 'tree-2']) mkdirSync(join(place, name));
  for (const log of logs) {
    await appendRun(log, END);
    writeFileSync(log, '');
    for (const path of [log, `${log}.runs`]) chmodSync(path, 0o666);
    expect(() => readRuns(log)).toThrow(/every user of this machine may write/);
    await expect(readLog(log, 'u', new FinalStates())).rejects.toThrow(
      /every user of this machine may write/,
    );
  }
  believeBelow(join(place, 'tree'));
  const [inside = '', beside = ''] = logs;
  expect(readRuns(inside)).toEqual([END]);
  expect(await readLog(inside, 'u', new FinalStates())).toBeDefined();
  expect(() => readRuns(beside)).toThrow(/every user of this machine may write/);
  expect([isBelieved(join(place, 'tree')), isBelieved(join(place, 'tree', '..', 'tree-2'))]).toEqual([
    true,
    false,
  ]);
  expect(
    distrustAt({ uid: 4_242, mode: 0o100644, isDirectory: () => false } as never, inside),
  ).toBeUndefined();
  // A second name is that of a file elsewhere, whoever is believed.
  linkSync(inside, join(place, 'other'));
  await expect(localDisk.open(inside)).rejects.toThrow(/2 names \(hard links\)/);
});
