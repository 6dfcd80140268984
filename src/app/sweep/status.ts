import { QrunError } from '../../core/errors.js';
import { FinalStates } from '../../core/log/scan/index.js';
import { AUDIT, tasksByName } from '../../core/queue/labels.js';
import {
  isLive,
  isStarted,
  type QueueGroup,
  type QueueState,
  type QueueTask,
} from '../../core/queue/queue.js';
import type { Output } from '../../core/schema.js';
import type { SweepAudit } from '../../core/sweep/audit.js';
import {
  countStates,
  endNote,
  type SweepStatus,
  type UnitStatus,
  unitState,
  unrecorded,
  usualRows,
} from '../../core/sweep/status.js';
import type { auditStatus as auditSchema } from '../../core/sweep/status.schema.js';
import type { LogFollower } from '../../io/log/follow.js';
import type { RunStart } from '../../io/log/run-sidecar.js';

/** A unit as the status sees it. */
export interface UnitToWatch {
  readonly unit: string;
  /** The names of its queries. */
  readonly queries: () => readonly string[];
  /** Whether a file holds a statement, that is, whether it is a query at all. */
  readonly isQuery?: (name: string) => boolean;
  readonly rowsPerQuery: number | undefined;
  /** Follows its log into the states that `newStates` returns; `newStates` is called again when reading starts over. */
  readonly follow: (newStates: () => FinalStates) => Pick<LogFollower, 'catchUp'>;
  /** Does the same for each log that other machines have of it on the disk of this one, as far as there are any now. */
  readonly followOthers?: (followed: ReadonlySet<string>) => ReadonlyMap<string, UnitToWatch['follow']>;
  readonly holder: () => Promise<string | undefined>;
  readonly lastStart: () => RunStart | undefined;
}

/** The state of a sweep's audit: the verdict of the last one, unless something was recorded since. */
export interface AuditStatus extends Output<typeof auditSchema> {}

/** The last audit of a sweep, of its present units. */
export interface LastAudit {
  readonly audit: SweepAudit;
  /** Whether something was recorded since. */
  readonly outdated: boolean;
}

export interface StatusDeps {
  readonly sweep: string;
  readonly group: string;
  readonly units: readonly UnitToWatch[];
  /** One read of the queue, or why it cannot be read: the logs then say what they can. */
  readonly readQueue: () => Promise<QueueState | QrunError>;
  readonly readAudit: () => LastAudit | undefined;
  readonly nowMs: () => number;
}

// Each holds two buffers of 1 MiB.
const LOGS_AT_ONCE = 4;

/**
 * Watches a sweep. Each look reads the queue once, and of the logs only what is new. Nothing is written, locked or
 * judged: `settled` counts results for any fingerprint, and only the audit says what is stale. A look waits for the one
 * before it.
 *
 * Memory: the name and final state of each query. Errors: QrunError `UNIT_*`, `LOG_*`.
 */
export class SweepWatch {
  readonly #deps: StatusDeps;
  readonly #units: readonly WatchedUnit[];
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: StatusDeps) {
    this.#deps = deps;
    this.#units = deps.units.map(unit => new WatchedUnit(unit));
  }

  look(): Promise<SweepStatus> {
    const look = this.#last.then(() => this.#look());
    this.#last = look.catch(() => {});
    return look;
  }

  async #look(): Promise<SweepStatus> {
    const { sweep, group } = this.#deps;
    const read = await this.#deps.readQueue();
    const state = read instanceof QrunError ? undefined : read;
    const tasks = tasksByName('unit', state?.tasks ?? [], sweep);
    const units: UnitStatus[] = [];
    await this.#readLogs();
    const widths = this.#units.flatMap(({ states }) => usualRows(states) ?? []);
    const usual = widths.length === 0 ? 1 : widths.reduce((sum, width) => sum + width, 0) / widths.length;
    for (const watched of this.#units) {
      const { unit, states } = watched;
      const names = watched.queries();
      const start = unit.lastStart();
      const rows = unit.rowsPerQuery ?? start?.rows_per_query ?? undefined;
      const counts = countStates(states, names, rows, usual);
      const facts = { task: tasks.get(unit.unit), holder: await unit.holder(), ...counts };
      const { state: where, note } = unitState(facts);
      units.push({
        unit: unit.unit,
        state: where,
        host: null,
        note,
        ...counts,
        settled_here: counts.settled,
        queries_per_second: where === 'running' ? this.#rate(states, start) : 0,
      });
    }
    const rate = units.reduce((sum, unit) => sum + unit.queries_per_second, 0);
    const left = units.reduce((sum, { queries, settled, errors }) => sum + queries - settled - errors, 0);
    const mine = state?.groups.get(group);
    return {
      sweep,
      group,
      slots: mine?.slots ?? null,
      paused_groups: pausedGroups(state, [...tasks.values()], mine),
      units,
      audit: auditStatus(tasks.get(AUDIT), this.#deps.readAudit()),
      queries_per_second: rate,
      eta_ms: rate > 0 && left > 0 ? (left / rate) * 1000 : null,
      queue_problem: read instanceof QrunError ? read.message : null,
      hosts: [],
    };
  }

  // Several at once: while one waits for the disk, another is scanned.
  async #readLogs(): Promise<void> {
    const units = this.#units.values();
    const read = async (): Promise<void> => {
      for (const unit of units) await unit.catchUp();
    };
    await Promise.all(Array.from({ length: LOGS_AT_ONCE }, read));
  }

  #rate({ lastRun }: FinalStates, start: RunStart | undefined): number {
    if (start === undefined || start.run !== lastRun?.run) return 0;
    const seconds = (this.#deps.nowMs() - Date.parse(start.at)) / 1000;
    return seconds > 0 ? lastRun.groups / seconds : 0;
  }
}

// Files with only comments are few, and every other file has a result in the end: no more than this are read to find
// them.
const READ_FILES = 100;

class WatchedUnit {
  #names: readonly string[];
  readonly #known = new Set<string>();
  readonly #logs = new Map<string, FollowedLog>();

  constructor(readonly unit: UnitToWatch) {
    this.#names = unit.queries();
    this.#logs.set('', new FollowedLog(unit.follow));
  }

  /** Reads what is new in its logs. */
  async catchUp(): Promise<void> {
    const others = this.unit.followOthers?.(new Set(this.#logs.keys())) ?? [];
    for (const [path, follow] of others) this.#logs.set(path, new FollowedLog(follow));
    for (const log of this.#logs.values()) await log.follower.catchUp();
  }

  /**
   * What is recorded: that of the log that holds most. A machine that goes on with a unit first imports what the others
   * have, so that one log holds all, unless a unit runs on two machines at once.
   */
  get states(): FinalStates {
    const all = [...this.#logs.values()].map(({ states }) => states);
    return all.reduce((most, states) => (states.size > most.size ? states : most));
  }

  /** The names of its queries, as far as known; each file is read at most once, and only if it has no result. */
  queries(): readonly string[] {
    const { isQuery } = this.unit;
    const left = isQuery === undefined ? [] : unrecorded(this.states, this.#names, READ_FILES + 1);
    if (isQuery === undefined || left.length > READ_FILES) return this.#names;
    const none = new Set<string>();
    for (const name of left) {
      if (this.#known.has(name)) continue;
      if (isQuery(name)) this.#known.add(name);
      else none.add(name);
    }
    if (none.size > 0) this.#names = this.#names.filter(name => !none.has(name));
    return this.#names;
  }
}

class FollowedLog {
  states = new FinalStates();
  readonly follower: Pick<LogFollower, 'catchUp'>;

  constructor(follow: UnitToWatch['follow']) {
    this.follower = follow(() => {
      this.states = new FinalStates();
      return this.states;
    });
  }
}

function pausedGroups(
  state: QueueState | undefined,
  tasks: readonly QueueTask[],
  mine: QueueGroup | undefined,
): string[] {
  const names = new Set(tasks.filter(isLive).map(({ group }) => group));
  if (mine !== undefined) names.add(mine.name);
  return [...names].filter(name => state?.groups.get(name)?.paused === true).sort();
}

function auditStatus(task: QueueTask | undefined, last: LastAudit | undefined): AuditStatus {
  const present = last?.outdated === false ? last.audit : undefined;
  const report = { verdict: present?.verdict ?? null, at: present?.at ?? null };
  if (task === undefined) return { state: present === undefined ? 'none' : 'done', note: '', ...report };
  if (isStarted(task)) return { state: 'running', note: '', ...report };
  if (isLive(task)) return { state: 'queued', note: '', ...report };
  // 20 and 21 are verdicts: the audit itself finished.
  const judged = task.end?.exitCode === 20 || task.end?.exitCode === 21;
  const failed = task.end?.kind !== 'success' && !judged;
  return { state: failed ? 'failed' : 'done', note: failed ? endNote(task) : '', ...report };
}
