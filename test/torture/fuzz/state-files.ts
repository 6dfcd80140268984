import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { QrunError } from '../../../src/core/errors.js';
import { readDotEnv, readSecretFile, readToml } from '../../../src/io/config/config-files.js';
import { readSubmission } from '../../../src/io/config/submission-config.js';
import { readSetupNote } from '../../../src/io/engines/setup-state.js';
import { openCheckpoint } from '../../../src/io/jobs/checkpoint.js';
import { readJobState } from '../../../src/io/jobs/state.js';
import { isOutdated, readAuditReport } from '../../../src/io/log/audit-report.js';
import { readOwner } from '../../../src/io/log/lease.js';
import { lastStart, readRuns, sidecarPath } from '../../../src/io/log/run-sidecar.js';
import { mutated, reshaped, textOf } from './grammar.js';
import { type Target, target } from './trial.js';

const JSON_PIECES: readonly string[] = [
  ...'{}[],:"\n\0 0',
  'null',
  '1e999',
  '"schema":99',
  '"event":"start"',
  '"run":{}',
  '[[',
  '\ufeff',
  '\udc00',
  '"units":[null]',
];
const JSON_FILES: readonly string[] = [
  '{"event":"start","run":"r","schema":1,"qrun":"0.1.0","settings":{},"at":"x"}\n{"event":"end","run":"r"}\n',
  '{"host":"h","pid":1,"run":"r","since":"2026-01-31T12:00:00Z"}\n',
  '{"version":1,"root":"/r","values":{"url":"http://h:8123"},"units":["a"],"time_zone":"UTC"}\n',
  '{"schema":1,"sweep":"s","at":"2026-01-31T12:00:00Z","verdict":"complete","units":[{"unit":"a","at":"x"}]}\n',
  '{"event":"start","run":"r","at":"x","fingerprint":"f","log_from":0}\n',
];
const json = fc.oneof(
  { weight: 4, arbitrary: reshaped(JSON_FILES) },
  { weight: 5, arbitrary: mutated(fc.constantFrom(...JSON_FILES), JSON_PIECES) },
  { weight: 1, arbitrary: textOf(JSON_PIECES) },
);
const ENV_PIECES: readonly string[] = [
  ...'=\n"\'#`\\$ \0\r',
  'CLICKHOUSE_URL',
  'CLICKHOUSE_PASSWORD',
  'QRUN_',
  'export ',
  '$A',
  '\ufffd',
  '\ufeff',
];
const env = mutated(
  fc.constantFrom(
    '# x\nexport CLICKHOUSE_URL="http://h:8123" # y\nCLICKHOUSE_PASSWORD=\'a b\'\nQRUN_TIMEOUT=`5s`\n',
  ),
  ENV_PIECES,
);

let directory: string | undefined;
function place(name: string, content: string): string {
  if (directory === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'qrun-fuzz-'));
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
    directory = made;
  }
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

// Each reader by itself: the first may refuse what the next one takes.
function refusing(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
  }
}

/** Files that qrun keeps or is configured by, with whatever somebody has made of them. */
export const STATE_FILES: readonly Target[] = [
  target('state-files', 700, json, text => {
    const path = place('l.ndjson', text);
    place('l.ndjson.runs', text);
    place('qrun-setup.json', text);
    for (const read of [
      () => lastStart(readRuns(path)),
      () => readOwner(path),
      () => readJobState(path),
      () => readSubmission(path),
      () => readSetupNote(join(sidecarPath(path), '..')),
      () => {
        const audit = readAuditReport(path);
        if (audit !== undefined) isOutdated(audit, new Map([['a', path]]));
      },
    ]) {
      refusing(read);
    }
  }),
  target('checkpoints', 200, json, async text => {
    const path = place('c.json', text);
    const checkpoint = openCheckpoint(path);
    await checkpoint.read();
    await checkpoint.readText();
  }),
  target(
    'configuration-files',
    400,
    fc.oneof(env, textOf(ENV_PIECES), textOf(['\n', '=', '"', '[', ']', 'a', '1'])),
    text => {
      const path = place('f', text);
      refusing(() => readDotEnv(path));
      refusing(() => readToml(path));
      refusing(() => readSecretFile(path));
    },
  ),
];
