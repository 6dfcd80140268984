import type { Settings } from '../model.js';
import type { Rerun } from '../unit/plan.js';
import type { HostRefusal } from './refusal.js';

/** What a host has of a sweep at one moment, as ids of units. */
export interface HostPart {
  /** Where its logs are. */
  readonly log_directory: string;
  /** Whether there are any. */
  readonly has_logs: boolean;
  /** In its queue, and not started. */
  readonly queued: readonly string[];
  /** In its queue, and started. */
  readonly running: readonly string[];
  /** They run, but not as a task of its queue. */
  readonly elsewhere: readonly string[];
  /** Of the sweep's group; `null` if there is none yet. */
  readonly slots: number | null;
  readonly group_paused: boolean;
  readonly state_bytes: number | null;
  /** Why its queue cannot be read. Then `queued` and `running` are empty, and `elsewhere` has all that runs. */
  readonly queue_problem: HostRefusal | null;
}

/** What is chosen for one submission, and is no configuration. */
export interface RunChoices {
  readonly rerun: Rerun;
  readonly setup: boolean;
}

/** What `plan` needs to know. */
export interface PlanAsk extends RunChoices {
  readonly units: readonly string[];
  /** Whether the server of the units must answer. */
  readonly check_server: boolean;
}

/**
 * A unit as a host sees it: how many of its queries are due, and a digest of all that decides its results; or why it
 * cannot run, `null` if it is not there.
 */
export type UnitThere =
  | { readonly unit: string; readonly due: number; readonly digest: string }
  | { readonly unit: string; readonly refusal: HostRefusal | null };

/** What decides the results of all units of a sweep on one machine. */
export interface ResultInputs {
  readonly engine: string;
  /** Settings that can change a result, with the database and the time zone. */
  readonly settings: Settings;
}

/** What `plan` returns. */
export interface HostPlan extends ResultInputs {
  readonly units: readonly UnitThere[];
}

/** What `submit` needs to know. */
export interface SubmitAsk extends RunChoices {
  readonly slots: number | 'auto';
  readonly priority: number;
  readonly delay: string | null;
  readonly resume_group: boolean;
}

/** What `submit` returns. */
export interface SubmittedThere {
  readonly submitted: readonly string[];
  readonly queued: readonly string[];
  readonly running: readonly string[];
  readonly slots: number;
  readonly group_paused: boolean;
  readonly state_bytes: number | null;
  /** What a person should know. */
  readonly notices: readonly string[];
}
