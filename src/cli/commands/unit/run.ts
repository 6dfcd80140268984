import { relative } from 'node:path';
import { entryOf, flagName, keysWhere } from '../../../core/config/keys.js';
import type { Config } from '../../../core/config/table.js';

import { factsOf } from '../../../core/engines/facts.js';
import type { ExitCode } from '../../../core/errors.js';
import { jsonLine } from '../../../core/text/json.js';
import { shownArguments } from '../../../core/text/shown-urls.js';
import type { RunSummary } from '../../../core/unit/events.js';
import { type UnitContext, unitContext } from '../../../local/unit/context.js';
import { refuseEventsIn } from '../../../local/unit/events.js';
import { runIn } from '../../../local/unit/run.js';
import type { Flags } from '../../command.js';
import { configFlags } from '../../options.js';
import { createProgressView } from '../../progress/view.js';
import { endNow } from '../../terminal/end-now.js';
import { listenForStops, SIGNAL_EXIT, type Stops, stoppedExit } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { wantsLive } from '../../terminal/style.js';
import { showPlan } from '../plan/run.js';
import { renderConcurrency } from '../probe/render.js';
import { aliveOptions, watchAlive } from './alive.js';
import { collectGarbage, expectShortLives } from './garbage.js';
import { runUnderCap } from './memory-cap.js';
import { renderSummary } from './render.js';

// V8 draws no conclusions before its young heap has grown, and the plan of fewer files fits into it.
const MANY_FILES = 5_000;
// The plan of fewer queries leaves too little garbage.
const LARGE_UNIT = 50_000;

/** `qrun unit DIR`: runs a unit; returns the exit code. Errors: QrunError of every step. */
export async function unitCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  if (flags.dryRun === true) return await showPlan(directory, flags, terminal);
  const { proc, env, err, errStyle } = terminal;
  const isQuiet = flags.quiet === true;
  const context = unitContext(directory, configFlags(flags), terminal);
  refuseEventsIn(context, terminal.cwd);
  const alive = aliveOptions(flags, terminal);
  const supervised = await runUnderCap(context, terminal, alive?.fd);
  if (supervised !== undefined) return supervised;
  if (flags.why === true) {
    // With --json, stdout is reserved for the program that reads it.
    const shown = flags.json === true ? { ...terminal, out: err, outStyle: errStyle } : terminal;
    await showPlan(directory, { ...flags, json: undefined }, shown);
  }
  // Up to the plan nothing runs and nothing has to be finished. Until then a signal ends the process as it ends any
  // other, even while it waits for a file on a disk that does not answer.
  const stops = listenForStops(proc, exitCode => endRun(proc, context, exitCode), 'later');
  const pipe = alive === undefined ? undefined : await watchAlive(alive, stops);
  const progress = await createProgressView({
    stream: proc.stderr,
    isTTY: wantsLive(env, proc.stderr.isTTY === true),
    style: errStyle,
    now: () => performance.timeOrigin + performance.now(),
    mode: isQuiet ? 'quiet' : 'auto',
  });
  try {
    const summary = await runIn(context, terminal, {
      drain: stops.drain,
      abort: stops.abort,
      stopExitCode: () => signalExit(stops),
      arguments: shownArguments(proc.argv.slice(2)),
      onEvent: progress.sink,
      onConcurrency: chosen => {
        if (!isQuiet) err.write(renderConcurrency(chosen));
      },
      onListed: files => {
        if (files >= MANY_FILES) expectShortLives();
      },
      onPlanned: due => {
        if (due >= LARGE_UNIT) collectGarbage();
        stops.listen();
      },
    });
    progress.close();
    showSummary(summary, context, flags, terminal);
    return summary.exit_code;
  } catch (error) {
    return stoppedExit(stops, error);
  } finally {
    progress.close();
    pipe?.close();
    stops.dispose();
  }
}

function showSummary(summary: RunSummary, context: UnitContext, flags: Flags, terminal: Terminal): void {
  if (flags.json === true) {
    terminal.out.write(jsonLine<RunSummary>(summary));
    return;
  }
  const directory = relative(terminal.cwd, context.directory) || '.';
  terminal.out.write(
    renderSummary(summary, terminal.outStyle, {
      directory,
      auditOptions: auditOptions(flags, context.config),
    }),
  );
}

// Options without which the audit would look for another log or another unit, or judge it by other rules.
const AUDITED = keysWhere(entry => entry.audited === true);

function auditOptions(flags: Flags, { engine }: Config): string[] {
  const words = AUDITED.flatMap(key => {
    const value = (flags[key] ?? []) as true | string | readonly string[];
    return value === true
      ? [`${entryOf(key).also?.flag}`]
      : [value].flat().map(one => `${flagName(key)}=${one}`);
  });
  return [...words, ...(flags.url === undefined && flags.engine === undefined ? [] : [`--engine=${engine}`])];
}

function signalExit(stops: Stops): ExitCode | undefined {
  const signal = stops.received();
  return signal === undefined ? undefined : SIGNAL_EXIT[signal];
}

// libchdb keeps process.exit from ending while a query runs; SIGKILL is the only way to end at once. Nothing recorded
// is lost by it.
function endRun(proc: NodeJS.Process, context: UnitContext, exitCode: number): void {
  if (factsOf(context.config.engine).inProcess) proc.kill(proc.pid, 'SIGKILL');
  else endNow(proc, exitCode);
}
