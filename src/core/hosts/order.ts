import { QrunError } from '../errors.js';
import type { Output } from '../schema.js';
import type { CancelReport, UnitChoice } from '../sweep/cancel.js';
import type { SweepStatus } from '../sweep/status.js';
import { jsonObject, lastLine } from '../text/json.js';
import type { HostPart, HostPlan, PlanAsk, SubmitAsk, SubmittedThere } from './part.js';
import type { HostRefusal } from './refusal.js';
import type { hostSample } from './slots/hosts-slots.schema.js';

/**
 * What a machine can ask the qrun of a host to do with its part of a sweep, by name: what it needs to know for it, and
 * what it returns. Both sides are the same version of qrun, so that this is no contract with anybody else.
 */
export interface HostWorks {
  /** One look at the queue and the logs there. `units`: of those that it has, only these. */
  readonly status: {
    readonly asks: { readonly units: readonly string[] };
    readonly returns: SweepStatus;
  };
  /** What of the sweep waits and runs there; reads no log. */
  readonly look: {
    readonly asks: Readonly<Record<never, never>>;
    readonly returns: HostPart;
  };
  /** Reads and judges units there, and checks whatever else could keep them from running. */
  readonly plan: {
    readonly asks: PlanAsk;
    readonly returns: HostPlan;
  };
  /** Adds the units of the order to the queue there. */
  readonly submit: {
    readonly asks: SubmitAsk;
    readonly returns: SubmittedThere;
  };
  /** One look at the load there, and at what was recorded `since`; with `null`, at what was recorded last. */
  readonly measure: {
    readonly asks: { readonly since: LogEnds | null };
    readonly returns: { readonly sample: Output<typeof hostSample>; readonly ends: LogEnds };
  };
  /** Sets how many tasks of the group run at a time there; with `expected` only if they are still so many. */
  readonly slots: {
    readonly asks: { readonly slots: number; readonly expected: number | null };
    readonly returns: {
      /** `null`: there was no such group. */
      readonly before: number | null;
      /** Those that are set now. */
      readonly slots: number;
      /** `false`: they were others than expected, and were left as they are. */
      readonly changed: boolean;
    };
  };
  /** Asks the units there to end. */
  readonly cancel: {
    readonly asks: { readonly choice: UnitChoice; readonly dryRun: boolean; readonly wait: boolean };
    readonly returns: CancelReport;
  };
}

/** Where the logs of a host ended at a look: a number of bytes for each unit. */
export type LogEnds = Readonly<Record<string, number>>;

/** The name of a work. */
export type HostWork = keyof HostWorks;

/** What a work needs to know. */
export type HostAsk<W extends HostWork> = HostWorks[W]['asks'];

/** What a work returns. */
export type HostReturn<W extends HostWork> = HostWorks[W]['returns'];

/** An order to a host: what `qrun hosts order` reads from stdin, as one line of JSON. */
export interface HostOrder<W extends HostWork = HostWork> {
  /** Of the qrun that asks. */
  readonly version: string;
  readonly work: W;
  /** The name of the sweep, whatever its root is called on the host. */
  readonly sweep: string;
  readonly group: string;
  /** The ids of the units that it is about; `null`: all that the host has. */
  readonly units: readonly string[] | null;
  /**
   * The configuration that was given besides qrun.toml and .env, by the names of qrun.toml. Each machine has a .env of
   * its own. Holds no secrets.
   */
  readonly given: Readonly<Record<string, unknown>>;
  /** The time zone of the embedded engine; `null` with a server, which has its own. It decides about results. */
  readonly time_zone: string | null;
  readonly ask: HostAsk<W>;
}

/** What `qrun hosts order` prints, as one line of JSON: what the work returned, or why it was not done. */
export type HostReply<W extends HostWork = HostWork> =
  | { readonly version: string; readonly returns: HostReturn<W> }
  | { readonly version: string; readonly refusal: HostRefusal };

/**
 * Returns the order in a line of JSON. Errors: QrunError `USAGE` for a line that is none, or is one of another version:
 * what it means may have changed since.
 */
export function parseOrder(line: string, version: string): HostOrder {
  const value = jsonObject(line);
  if (value === undefined || typeof value.version !== 'string' || typeof value.work !== 'string') {
    throw noOrder('stdin is no order of another qrun');
  }
  if (value.version !== version) {
    throw new QrunError('USAGE', `the order is from qrun ${value.version}, and this is ${version}`, {
      hint: 'both must be the same: qrun hosts deploy',
    });
  }
  if (!isWhole(value)) throw noOrder('the order on stdin is not whole');
  return value as unknown as HostOrder;
}

function noOrder(what: string): QrunError {
  return new QrunError('USAGE', what, {
    hint: 'qrun submit-all, status, cancel and the like give orders to the hosts of qrun.toml; people need not',
  });
}

// What a work asks is its own: both sides are the same version.
function isWhole({ sweep, group, units, given, time_zone: zone, ask }: Record<string, unknown>): boolean {
  const isText = (value: unknown): boolean => typeof value === 'string';
  const isTable = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  return (
    isText(sweep) &&
    isText(group) &&
    (units === null || (Array.isArray(units) && units.every(isText))) &&
    (zone === null || isText(zone)) &&
    isTable(given) &&
    isTable(ask)
  );
}

/** Returns the reply in what a host printed; `undefined` if there is none. What its login printed is passed over. */
export function parseReply<W extends HostWork>(stdout: string): HostReply<W> | undefined {
  return lastLine(stdout, line => {
    const value = jsonObject(line);
    const isReply = typeof value?.version === 'string' && ('returns' in value || 'refusal' in value);
    return isReply ? (value as unknown as HostReply<W>) : undefined;
  });
}
