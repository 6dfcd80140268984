import type { Output } from '../../schema.js';
import { pasteableCommand } from '../../text/shell.js';
import type { hostSlots, schema } from './hosts-slots.schema.js';

/** What became of the slots of one host. */
export interface HostSlots extends Output<typeof hostSlots> {}

/** The same of all hosts. */
export interface SlotsReport extends Output<typeof schema> {}

/**
 * Returns the exit code of a change: 25 if a limit was passed on a host, whether or not it stepped back; 26 for a host
 * that was not reached, refused, or did not answer at the end. If both happened, 26: then it is not known everywhere
 * what the slots are.
 */
export function slotsExit(hosts: readonly Pick<HostSlots, 'outcome' | 'harms'>[]): number {
  const codes = hosts.map(({ outcome, harms }) => {
    if (outcome === 'failed' || outcome === 'silent') return 26;
    return harms.length > 0 ? 25 : 0;
  });
  return Math.max(0, ...codes);
}

/** What a group begins with: what `submit-all` gives a new one. */
const SLOTS_OF_NEW_GROUP = 1;

/** Returns what the slots of a group were before a change, as a number to go back to. */
export function slotsToReturnTo(before: number | null): number {
  return before ?? SLOTS_OF_NEW_GROUP;
}

/** Returns whether more tasks may run than before. 0 is no limit, `null` that there was no such group. */
export function isMoreSlots(slots: number, before: number | null): boolean {
  return before !== 0 && slots > slotsToReturnTo(before);
}

/**
 * Returns what to tell somebody who has changed the slots of a host with something else than `qrun hosts slots`: the
 * command that watches what that does; `undefined` if there are not more than before. `root`: of the sweep.
 */
export function watchAdvice(
  host: string,
  { before, slots }: { readonly before: number | null; readonly slots: number },
  root: string,
): string | undefined {
  if (before === null || !isMoreSlots(slots, before)) return undefined;
  const words = ['qrun', 'hosts', 'slots', root, '--host', host, '--from', `${before}`, '--to', `${slots}`];
  return `${host}: ${before} -> ${slots} units at a time; to watch for five minutes what that does: ${pasteableCommand(words)}`;
}
