import {
  checkSetupFiles,
  prepareServer,
  type SetupFile,
  setupParameterNames,
} from '../../app/setup/setup.js';
import { factsOf } from '../../core/engines/facts.js';
import { QrunError } from '../../core/errors.js';
import type { Parameters } from '../../core/model.js';
import { withSetupLock } from '../../io/engines/setup-state.js';
import { systemClock } from '../../io/machine/clock.js';
import { openServer } from '../unit/open-engine.js';
import { chainAt, type ReadSetups } from '../unit/setup-files.js';
import type { ResolvedSweep } from './context.js';

/** The callbacks of a check of the server. */
export interface CheckWatch {
  readonly signal: AbortSignal;
  /** Called with what a person should know. */
  readonly onNotice?: ((text: string) => void) | undefined;
  /** Called when a setup file has run; `at` is the server and the database. */
  readonly onSetup?:
    | ((done: { readonly file: string; readonly durationMs: number; readonly at: string }) => void)
    | undefined;
}

/**
 * Checks that the server of a sweep answers, accepts the password and knows the settings. If requested, runs the
 * setup files of all its units there, each once. With the embedded engine there is nothing to check: the data is
 * prepared when a unit needs it.
 *
 * Errors: QrunError `ENGINE_*`, `CONFIG`, `SETUP_FAILED`, `USAGE` when there is no setup file, `PARAMETERS` for one
 * that would prepare something different for each unit; the reason of `signal`, which cancels the running statement.
 */
export async function checkServer(
  sweep: ResolvedSweep,
  setup: boolean,
  { signal, onNotice, onSetup }: CheckWatch,
): Promise<void> {
  const [unit] = sweep.units;
  if (factsOf(sweep.config.engine).data !== 'server' || unit === undefined) return;
  // Before the server is asked for anything: a problem in a file is found without it.
  const todo = setup ? setupOf(sweep) : undefined;
  // One statement at a time.
  const one = { ...unit, config: { ...unit.config, concurrency: 1 } };
  const engine = await openServer(one, signal, text => onNotice?.(text));
  try {
    for (const notice of engine.info.notices ?? []) onNotice?.(notice);
    if (todo === undefined) return;
    const { config, root } = sweep;
    await prepareServer(
      {
        engine,
        settings: config.settings,
        redact: config.redact,
        parameters: todo.parameters,
        clock: systemClock,
        drain: signal,
        abort: signal,
        emit: event => {
          if (event.type !== 'setup_done') return;
          const at = `${event.target}${event.database === null ? '' : `, database ${event.database}`}`;
          onSetup?.({ file: event.file, durationMs: event.duration_ms, at });
        },
      },
      { files: todo.files, database: config.database },
      work => withSetupLock(root, work, { signal, onWait: text => onNotice?.(text) }),
    );
  } finally {
    await engine.close();
  }
}

// The files of all units, each once, outer ones first, and the values that they use.
function setupOf(sweep: ResolvedSweep): { files: SetupFile[]; parameters: Parameters } {
  const read: ReadSetups = new Map();
  const files = new Map<string, SetupFile>();
  const parameters: Record<string, string> = {};
  const different = new Set<string>();
  for (const { directory, config } of sweep.units) {
    const chain = chainAt({ ...sweep, directory }, read);
    checkSetupFiles(chain, config);
    for (const file of chain) files.set(file.name, file);
    for (const name of setupParameterNames(chain)) {
      const value = config.parameters[name] as string;
      if (Object.hasOwn(parameters, name) && parameters[name] !== value) different.add(name);
      parameters[name] = value;
    }
  }
  if (files.size === 0) {
    throw new QrunError('USAGE', `--setup: there is no _setup.sql in ${sweep.root} or in its units`, {
      hint: 'run it without --setup, or write one',
    });
  }
  if (different.size > 0) {
    throw new QrunError(
      'PARAMETERS',
      'the units of the sweep would prepare one server with different values',
      {
        details: [...different].map(
          name => `--param ${name}: the setup uses it, and it differs between units`,
        ),
        hint: 'keep such parameters out of _setup.sql, or use the embedded engine: there each unit has its own data',
      },
    );
  }
  return { files: [...files.values()], parameters };
}
