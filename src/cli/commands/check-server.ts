import { relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readSetupFile, runSetup } from '../../app/setup.js';
import { QrunError } from '../../core/errors.js';
import { fingerprinter } from '../../core/fingerprint.js';
import { withSetupLock } from '../../io/setup-state.js';
import { findSetupFiles, readSetupBytes } from '../../io/unit-files.js';
import { openEngine } from '../engine.js';
import type { Sweep } from '../sweep-context.js';
import type { Terminal } from '../terminal.js';

/**
 * Checks that the server of a sweep answers, takes the password and knows the settings, and runs the setup files
 * of all its units there when that is asked for, each once. With the embedded engine there is nothing to check:
 * each unit prepares data of its own.
 *
 * Errors: QrunError `ENGINE_*`, `CONFIG`, `SETUP_FAILED`, `USAGE` when there is no setup file.
 */
export async function checkServer(
  sweep: Sweep,
  setup: boolean,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const [unit] = sweep.units;
  if (sweep.config.engine !== 'clickhouse' || unit === undefined) return;
  // One statement at a time.
  const engine = await openEngine({ ...unit, config: { ...unit.config, concurrency: 1 } }, signal);
  try {
    if (!setup) return;
    const print = fingerprinter({ parameters: {}, settings: {} });
    const paths = [...new Set(sweep.units.flatMap(({ directory }) => findSetupFiles(directory, sweep.root)))];
    if (paths.length === 0) {
      throw new QrunError('USAGE', `--setup: there is no _setup.sql in ${sweep.root} or in its units`, {
        hint: 'leave --setup away, or write one',
      });
    }
    const files = paths.map(path => readSetupFile(relative(sweep.root, path), readSetupBytes(path), print));
    const clock = {
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      delay: (ms: number, aborted: AbortSignal) => delay(ms, undefined, { signal: aborted }).catch(() => {}),
    };
    await withSetupLock(sweep.root, async () => {
      for (const file of files) {
        await runSetup({ engine, settings: sweep.config.settings, clock, emit: () => {}, signal }, file);
        terminal.err.write(`setup  ${file.name}\n`);
      }
    });
  } finally {
    await engine.close();
  }
}
