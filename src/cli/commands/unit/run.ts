import { relative } from 'node:path';
import { entryOf, flagName, keysWhere } from '../../../core/config/keys.js';
import type { Config } from '../../../core/config/table.js';
import { factsOf } from '../../../core/engines/facts.js';
import { shownArguments } from '../../../core/text/shown-urls.js';
import type { RunSummary } from '../../../core/unit/events.js';
import { type UnitContext, unitContext } from '../../../local/unit/context.js';
import { refuseEventsIn } from '../../../local/unit/events.js';
import { runIn } from '../../../local/unit/run.js';
import { type Call, type Flags, writeResult } from '../../command.js';
import { configFlags } from '../../options.js';
import { createProgressView } from '../../progress/view.js';
import { endNow } from '../../terminal/end-now.js';
import { SIGNAL_EXIT, type Stops, untilStopped } from '../../terminal/signals.js';
import { wantsLive } from '../../terminal/style.js';
import { run as showPlan } from '../plan/run.js';
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
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  if (flags.dryRun === true) return await showPlan(call);
  const { proc, env, err, errStyle } = terminal;
  const isQuiet = flags.quiet === true;
  const unit = unitContext(directory, configFlags(flags), terminal);
  // Loaded only where many machines share a sweep.
  const own = flags.hostLogs === true ? await import('../../../local/log/own-logs.js') : undefined;
  const context = own === undefined ? unit : own.withOwnLog(unit, env);
  refuseEventsIn(context, terminal.cwd);
  const alive = aliveOptions(flags, terminal);
  const supervised = await runUnderCap(context, terminal, alive?.fd);
  if (supervised !== undefined) return supervised;
  if (flags.why === true) {
    // With --json, stdout is reserved for the program that reads it.
    const shown = flags.json === true ? { ...terminal, out: err, outStyle: errStyle } : terminal;
    await showPlan({ ...call, flags: { ...flags, json: undefined }, terminal: shown });
  }
  const work = async (drain: AbortSignal, listen: () => void, stops: Stops): Promise<number> => {
    const pipe = alive === undefined ? undefined : await watchAlive(alive, stops);
    const progress = await createProgressView({
      stream: proc.stderr,
      isTTY: wantsLive(env, proc.stderr.isTTY === true),
      style: errStyle,
      now: () => performance.timeOrigin + performance.now(),
      mode: isQuiet ? 'quiet' : 'auto',
    });
    const { abort, received } = stops;
    try {
      await own?.fetchKnown(unit, context, { onNotice: text => err.write(`${errStyle.foreign(text)}\n`) });
      const summary = await runIn(context, terminal, {
        drain,
        abort,
        stopExitCode: () => {
          const signal = received();
          return signal === undefined ? undefined : SIGNAL_EXIT[signal];
        },
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
          // Up to the plan nothing runs and nothing has to be finished. Until then a signal ends the process as it
          // ends any other, even while it waits for a file on a disk that does not answer.
          listen();
        },
      });
      progress.close();
      writeResult<RunSummary>(call, summary, style =>
        renderSummary(summary, style, {
          directory: relative(terminal.cwd, context.directory) || '.',
          auditOptions: auditOptions(flags, context.config),
        }),
      );
      return summary.exit_code;
    } finally {
      progress.close();
      pipe?.close();
    }
  };
  return await untilStopped(proc, work, exitCode => endRun(proc, context, exitCode));
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

// libchdb keeps process.exit from ending while a query runs; SIGKILL is the only way to end at once. Nothing recorded
// is lost by it.
function endRun(proc: NodeJS.Process, context: UnitContext, exitCode: number): void {
  if (factsOf(context.config.engine).inProcess) proc.kill(proc.pid, 'SIGKILL');
  else endNow(proc, exitCode);
}
