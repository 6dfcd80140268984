import type { SlotsEvent } from '../../../app/hosts/slots.js';
import { QrunError } from '../../../core/errors.js';
import type { SlotsReport } from '../../../core/hosts/slots/report.js';
import { LOAD_PER_CORE } from '../../../core/hosts/slots/watch.js';
import { WATCH_MS } from '../../../core/machine/autoscale.js';
import { DURATION_EXAMPLES, parseDuration } from '../../../core/text/duration.js';
import { changeSlotsOf } from '../../../local/hosts/change-slots.js';
import { type Call, type Flags, writeResult } from '../../command.js';
import { PARALLEL, parsedFlag, wholeNumberFlag } from '../../flags.js';
import { hostsWanted, sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { openLines, tell } from '../../terminal/streams.js';
import { renderSlots, slotsEventLine, slotsLook } from './render-slots.js';

// Ten looks half a second apart.
const LEAST_WATCH = '5s';

/**
 * `qrun hosts slots [ROOT]`: shows how many units of the sweep run at a time on each host; with `--to` changes that,
 * and watches each host for five minutes. Returns 0; 25 if a host was set back; 26 for one that did not answer; the
 * code of a signal that ended the watch, which leaves the slots as they are.
 *
 * Errors: QrunError of the configuration and the units, `USAGE`, `SSH_MISSING`.
 */
export async function run(call: Call<string>): Promise<number> {
  const { flags, terminal } = call;
  const slots = wholeNumberFlag(flags, '--to', PARALLEL);
  const from = wholeNumberFlag(flags, '--from', PARALLEL);
  const watchMs = watchOf(flags, slots);
  const loadPerCore = maxLoad(flags);
  const sweep = sweepOf(call);
  const names = hostsWanted(sweep, flags);
  tell(terminal, sweep.notices);
  return await untilStopped(terminal.proc, async (signal, listen) => {
    listen();
    const screen = slots === undefined ? undefined : await openLines(terminal, 'err');
    const { err, errStyle } = terminal;
    // On a terminal the last look at each host stays in place, elsewhere only events are told.
    const looks = new Map<string, string>();
    const onEvent = (host: string, event: SlotsEvent): void => {
      if (event.type === 'look') {
        looks.set(host, slotsLook(host, event, errStyle));
        screen?.draw([...looks.values()]);
        return;
      }
      const line = slotsEventLine(host, event, errStyle);
      if (screen === undefined) err.write(`${line}\n`);
      else screen.area.draw([...looks.values()], [line]);
    };
    let report: SlotsReport;
    try {
      report = await changeSlotsOf(
        sweep,
        names,
        terminal,
        { slots, from, watchMs, watchAll: typeof flags.watch === 'string', limits: { loadPerCore } },
        { signal, onEvent },
      );
    } finally {
      screen?.draw([]);
      screen?.area.close();
    }
    writeResult<SlotsReport>(call, report, style => renderSlots(report, style));
    signal.throwIfAborted();
    return report.exit_code;
  });
}

function watchOf(flags: Flags, slots: number | undefined): number | undefined {
  if (slots === undefined) {
    if (flags.watch === undefined) return undefined;
    throw new QrunError('USAGE', '--watch and --no-watch: there is nothing to watch without --to N');
  }
  if (flags.watch === false) return undefined;
  const least = parseDuration(LEAST_WATCH) ?? 0;
  const given = parsedFlag(
    flags,
    '--watch',
    `a duration of at least ${LEAST_WATCH}: ${DURATION_EXAMPLES}`,
    text => {
      const ms = parseDuration(text);
      return ms === undefined || ms < least ? undefined : ms;
    },
  );
  return given ?? WATCH_MS;
}

function maxLoad(flags: Flags): number {
  const given = parsedFlag(flags, '--max-load', 'a number above 0, such as 1.5', text => {
    const number = /^\d{1,6}(\.\d{1,6})?$/.test(text) ? Number(text) : 0;
    return number > 0 ? number : undefined;
  });
  return given ?? LOAD_PER_CORE;
}
