import type { Clock } from '../../core/clock.js';
import type { ExitCode } from '../../core/errors.js';
import type { Parameters, Settings } from '../../core/model.js';
import type { EventSink } from '../../core/unit/events.js';
import type { HaltPolicy } from '../../core/unit/halt.js';
import type { Engine } from '../../io/engines/engine.js';
import type { InflightJournal } from '../../io/log/inflight.js';
import type { ResultLog } from '../../io/log/result-log.js';
import type { ReadQuery, UnitPlan } from './plan.js';
import type { Suspects } from './suspects.js';

/** How the queries of a unit are run. */
export interface RunRules {
  readonly run: string;
  readonly unit: string;
  /** All settings of the user, including those that do not change a result. */
  readonly settings: Settings;
  readonly concurrency: number;
  /** Deadline of each attempt; 0 means none. */
  readonly timeoutMs: number;
  /** Further attempts after the first. */
  readonly retries: number;
  /** `undefined`: never. */
  readonly halt: HaltPolicy | undefined;
  /** The database that queries run in, if one is named; for the reasons that a halt gives. */
  readonly database?: string | undefined;
  /** Whether a file that can no longer run is left out instead of being recorded as an error. */
  readonly skipBad?: boolean;
  /** Whether credentials of the SQL are hidden in messages; the default is `true`. */
  readonly redact?: boolean;
  /** How long the engine may be away. */
  readonly outageLimitMs: number;
  /** First stop: start nothing new, finish what runs. */
  readonly drain: AbortSignal;
  /** Second stop: cancel what runs. */
  readonly abort: AbortSignal;
  /** The exit code of a run that one of these stops ended early; 25 (a policy of the caller) if omitted. */
  readonly stopExitCode?: () => ExitCode | undefined;
}

/** What a run is to do. */
export interface RunOptions extends RunRules {
  readonly plan: UnitPlan;
  readonly parameters: Parameters;
  /** Setup files that exist but do not run on this server; for the reasons that a halt gives. */
  readonly setupNotRun?: readonly string[];
}

/** What a run uses of its environment. */
export interface RunDeps {
  readonly engine: Engine;
  readonly log: Pick<ResultLog, 'append' | 'records' | 'path'>;
  /**
   * Reads a query and judges it again; `undefined`: it is not a query any more. Throws QrunError when it can no
   * longer run.
   */
  readonly read: (name: string) => ReadQuery | undefined | Promise<ReadQuery | undefined>;
  readonly fingerprint: (bytes: Uint8Array) => string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly emit: EventSink;
  /** Where queries in flight are noted, for an engine that dies with the process. */
  readonly inflight?: Pick<InflightJournal, 'begin' | 'end'>;
  /** How many more file descriptors this process may open; `undefined` if that is not known. */
  readonly freeDescriptors?: () => number | undefined;
  /** The queries that were in flight when earlier processes died; the plan has them after all others. */
  readonly suspects?: Suspects;
}
