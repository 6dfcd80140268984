import { notDue, type UnitOutlook } from '../../../app/sweep/plan.js';
import { familyOf, QrunError } from '../../../core/errors.js';
import { chooseHosts, type Host } from '../../../core/hosts/host.js';
import type { HostPart, PlanAsk, SubmittedThere } from '../../../core/hosts/part.js';
import { placeUnits } from '../../../core/hosts/placement.js';
import { watchAdvice } from '../../../core/hosts/slots/report.js';
import type { HostProblem } from '../../../core/hosts/ssh-failure.js';
import {
  completeThere,
  type HostOut,
  hostRow,
  isToCorrect,
  liveUnits,
  type PlannedThere,
  PUSH,
  partOf,
  refuseDifferences,
  sums,
} from '../../../core/hosts/submission.js';
import { collectNotices } from '../../../core/sweep/collect.js';
import { QUEUE } from '../../../io/queue/queues.js';
import type { Surroundings } from '../../config/sweep-context.js';
import type { ResolvedSweep } from '../../sweep/context.js';
import { checkedCommands } from '../../sweep/finalizers.js';
import { auditIsDue, planUnits, runningElsewhere } from '../../sweep/outlook.js';
import type { Submission, SubmitWatch, SweepSubmitOptions } from '../../sweep/submit.js';
import { collectFromHosts } from '../collect.js';
import { type HostAnswer, noHostError, type SweepHosts, withHosts } from '../sweep-hosts.js';
import { type HostsNow, lookAtHosts } from './look.js';
import { resultInputs } from './part.js';

/** The callbacks of a submission to hosts. */
export interface HostsWatch extends SubmitWatch {
  /** Called with each host that is left out, or failed. */
  readonly onHostOut?: (out: HostOut) => void;
}

// Planning reads up to 300,000 files. Submitting waits for the lock of another submission for five minutes, and each of
// its adds takes milliseconds.
const WORK_LIMIT_MS = 900_000;

/**
 * Submits a sweep to its hosts (those with these names; all without names): each unit that is not complete, and neither
 * waits nor runs on any of the hosts, goes to one of those that answer, by {@link placeUnits}. What hosts have recorded
 * is collected first. No audit follows: `qrun audit-all` collects again, and audits here.
 *
 * Everything is read and checked, here and there, before the first task is added. A host that cannot be used is left
 * out, and its units go to the others; one that fails while it is given its units is in the report with them. Any
 * number of submitters may do this at any time: labels prevent doubles on each host, and the import drops results of
 * units that two hosts ran.
 *
 * Errors: QrunError of the units and of the configuration, here and there; `USAGE` for finalizers; if no host can be
 * used, the problem of the first; the reason of the signal.
 */
export async function submitToHosts(
  sweep: ResolvedSweep,
  names: readonly string[],
  { env }: Pick<Surroundings, 'env'>,
  options: SweepSubmitOptions,
  watch: HostsWatch,
): Promise<Submission> {
  refuseFinalizers(options.finalizers ?? []);
  const { signal } = watch;
  return await withHosts(sweep, [], { env, signal }, async hosts => {
    const chosen = chooseHosts(hosts.hosts, names, sweep.configFile ?? sweep.root);
    return await new HostsSubmission(sweep, hosts, chosen, options, watch).run();
  });
}

function refuseFinalizers(finalizers: readonly string[]): void {
  if (checkedCommands(finalizers).length === 0) return;
  throw new QrunError(
    'USAGE',
    '--then: the units run on other hosts, and nothing there knows when all have ended',
    {
      hint: 'wait here, audit and run it: qrun audit-all --when-ended --then COMMAND',
    },
  );
}

class HostsSubmission {
  readonly #out = new Map<Host, HostProblem>();
  readonly #parts = new Map<Host, HostPart>();
  #logs: HostsNow['logs'] = new Map();

  constructor(
    readonly sweep: ResolvedSweep,
    readonly hosts: SweepHosts,
    readonly chosen: readonly Host[],
    readonly options: SweepSubmitOptions,
    readonly watch: HostsWatch,
  ) {}

  async run(): Promise<Submission> {
    const { sweep, watch } = this;
    const isDry = this.options.dryRun === true;
    await this.#look();
    const live = liveUnits(this.#parts.values());
    const rest = { ...sweep, units: sweep.units.filter(({ unit }) => !live.has(unit)) };
    const [outlooks, plans] = await Promise.all([this.#planHere(rest), this.#planThere(rest)]);
    const byUnit = new Map(outlooks.map(outlook => [outlook.unit, outlook]));
    const elsewhere = await runningElsewhere(rest, byUnit);
    const due = outlooks.filter(({ unit, due }) => due > 0 && !elsewhere.has(unit));
    const digests = new Map(due.map(({ unit, digest }) => [unit, digest]));
    const here = { ...resultInputs(sweep), digests };
    refuseDifferences(here, plans);
    const complete = completeThere(here, plans);
    const todo = due.filter(({ unit }) => !complete.has(unit)).map(({ unit }) => unit);
    const placed = new Map<Host, string[]>(this.#usable().map(host => [host, []]));
    for (const [unit, host] of placeUnits(todo, this.#usable())) placed.get(host)?.push(unit);
    watch.onBegin?.();
    const done = isDry ? undefined : await this.#submit(placed);
    return this.#result(outlooks, { elsewhere, complete, placed, done });
  }

  #usable(): readonly Host[] {
    return this.chosen.filter(host => !this.#out.has(host));
  }

  #leaveOut(lost: readonly HostOut[]): void {
    for (const { host, problem } of lost) this.#out.set(host, problem);
    if (this.#usable().length === 0) return;
    for (const out of lost) this.watch.onHostOut?.(out);
  }

  // Keeps what hosts returned, and leaves out those that returned nothing. Errors: what a person must correct; no host.
  #sort<T>(answers: readonly HostAnswer<T>[]): [Host, T][] {
    const wrong = answers.flatMap(answer =>
      'problem' in answer && this.chosen.includes(answer.host) && isToCorrect(answer.problem) ? [answer] : [],
    );
    const [first] = wrong;
    if (first !== undefined) {
      throw new QrunError(first.problem.code, 'the sweep cannot run on the hosts; nothing was submitted', {
        details: wrong.map(({ host, problem }) => `${host.name}: ${problem.says}`),
        hint: familyOf(first.problem.code) === 'files' ? PUSH : first.problem.mend,
      });
    }
    this.#leaveOut(answers.filter(answer => 'problem' in answer));
    if (this.#usable().length === 0) throw this.#nobody();
    return answers.flatMap(answer =>
      'returns' in answer ? [[answer.host, answer.returns] as [Host, T]] : [],
    );
  }

  #nobody(): QrunError {
    return noHostError(
      this.chosen.flatMap(host => {
        const problem = this.#out.get(host);
        return problem === undefined ? [] : [{ host, problem }];
      }),
    );
  }

  async #look(): Promise<void> {
    const { answers, usable, logs } = await lookAtHosts(this.hosts);
    const asked = new Set(this.sweep.units.map(({ unit }) => unit));
    for (const answer of answers) {
      if ('returns' in answer) this.#parts.set(answer.host, partOf(answer.returns, asked));
    }
    this.#logs = logs;
    this.#sort(usable);
  }

  async #planHere({ units }: ResolvedSweep): Promise<UnitOutlook[]> {
    if (this.options.dryRun !== true) await this.#collect();
    return await planUnits(units, this.sweep.config.skipBad, this.watch);
  }

  // What was recorded there is not to run again elsewhere. What cannot be brought in runs again at worst.
  async #collect(): Promise<void> {
    const { signal, onNotice } = this.watch;
    const report = await collectFromHosts(this.sweep, this.hosts, { signal, onNotice }, this.#logs);
    // Of a host that is away that has been said.
    const asked = report.hosts.filter(({ reached }) => reached);
    for (const text of collectNotices({ ...report, hosts: asked })) onNotice?.(text);
  }

  // Each unit where it would run. The units of a host that is lost meanwhile are planned on others.
  async #planThere({ units }: ResolvedSweep): Promise<PlannedThere[]> {
    const { rerun, setup } = this.sweep.config;
    const check_server = this.options.delay === undefined && !setup;
    const ids = units.map(({ unit }) => unit);
    const plans: PlannedThere[] = [];
    const askedOf = new Map<string, Host>();
    for (;;) {
      const placed = placeUnits(ids, this.#usable());
      const todo = new Map<Host, string[]>();
      for (const [unit, host] of placed) {
        if (askedOf.get(unit) === host) continue;
        askedOf.set(unit, host);
        const asked = todo.get(host);
        if (asked === undefined) todo.set(host, [unit]);
        else asked.push(unit);
      }
      if (todo.size === 0) return plans.filter(({ host }) => !this.#out.has(host));
      const question = (host: Host): { units: null; ask: PlanAsk } | undefined => {
        const asked = todo.get(host);
        return asked === undefined
          ? undefined
          : { units: null, ask: { rerun, setup, check_server, units: asked } };
      };
      for (const [host, plan] of this.#sort(await this.hosts.ask('plan', question, WORK_LIMIT_MS))) {
        plans.push({ host, ...plan });
      }
    }
  }

  async #submit(placed: ReadonlyMap<Host, readonly string[]>): Promise<ReadonlyMap<Host, SubmittedThere>> {
    const { rerun, setup } = this.sweep.config;
    const { priority = this.sweep.table.priority ?? 0, delay = null, resumeGroup = false } = this.options;
    const asked = [...placed].filter(([host, units]) => units.length > 0 || this.#isToChange(host));
    const ask = async (
      hosts: readonly (readonly [Host, readonly string[]])[],
    ): Promise<HostAnswer<SubmittedThere>[]> => {
      const of = new Map(hosts);
      return await this.hosts.ask(
        'submit',
        host => {
          const units = of.get(host);
          const { slots = host.slots } = this.options;
          const how = { rerun, setup, slots, priority, delay, resume_group: resumeGroup };
          return units === undefined ? undefined : { units, ask: how };
        },
        WORK_LIMIT_MS,
      );
    };
    const answers: HostAnswer<SubmittedThere>[] = [];
    // Hosts may share a server, which must not be prepared twice at once.
    for (const some of setup ? asked.map(one => [one]) : [asked]) answers.push(...(await ask(some)));
    const done = new Map<Host, SubmittedThere>();
    for (const answer of answers) {
      if ('returns' in answer) done.set(answer.host, answer.returns);
      else this.#fail(answer);
    }
    for (const [host, { notices, slots }] of done) {
      for (const text of notices) this.watch.onNotice?.(`${host.name}: ${text}`);
      const before = this.#parts.get(host)?.slots ?? null;
      const advice = watchAdvice(host.name, { before, slots }, this.sweep.root);
      if (advice !== undefined) this.watch.onNotice?.(advice);
    }
    return done;
  }

  #fail(out: HostOut): void {
    this.#out.set(out.host, out.problem);
    this.watch.onHostOut?.(out);
  }

  // What is chosen for a group holds also where no unit is added.
  #isToChange(host: Host): boolean {
    const part = this.#parts.get(host);
    if (part === undefined || part.slots === null) return false;
    const { slots = host.slots, resumeGroup } = this.options;
    return slots !== part.slots || (resumeGroup === true && part.group_paused);
  }

  #result(
    outlooks: readonly UnitOutlook[],
    {
      elsewhere,
      complete,
      placed,
      done,
    }: {
      readonly elsewhere: ReadonlySet<string>;
      readonly complete: ReadonlySet<string>;
      readonly placed: ReadonlyMap<Host, readonly string[]>;
      readonly done: ReadonlyMap<Host, SubmittedThere> | undefined;
    },
  ): Submission {
    const { name, root, group } = this.sweep;
    const rows = this.hosts.hosts.map(host =>
      hostRow(host, {
        part: this.#parts.get(host),
        planned: placed.get(host) ?? [],
        done: done === undefined ? 'dry' : done.get(host),
        problem: this.#out.get(host),
        chosenSlots: this.options.slots ?? host.slots,
      }),
    );
    const { complete: settled, cannot_run } = notDue(outlooks);
    const total = sums(rows);
    const isLive = [total.submitted, total.queued, total.running].some(units => units.length > 0);
    return {
      queue: QUEUE,
      due: new Map(outlooks.map(({ unit, due }) => [unit, due])),
      report: {
        ...{ sweep: name, root, group },
        ...total,
        complete: [...settled, ...complete].sort(),
        cannot_run,
        elsewhere: [...new Set([...elsewhere, ...total.elsewhere])].sort(),
        audit: isLive || auditIsDue(this.sweep) ? 'by hand' : 'not due',
        dry_run: done === undefined,
        hosts: rows,
      },
    };
  }
}
