import { QrunError } from '../core/errors.js';
import { AUDIT, nameInLabel, taskLabel } from '../core/labels.js';
import { isLive, type PueueState, type PueueTask } from '../core/pueue-state.js';
import type { NewTask, Pueue } from '../io/pueue.js';
import type { Clock } from './run-unit.js';

export interface WaitRequest {
  readonly sweep: string;
  readonly group: string;
  /** How this process is started again when it has to make room; as it was submitted. */
  readonly again: Pick<NewTask, 'command' | 'directory' | 'priority'>;
  readonly signal: AbortSignal;
}

export interface WaitDeps {
  readonly pueue: Pick<Pueue, 'status' | 'add'>;
  /**
   * Names of tasks that run although pueue does not know it: orphans of a daemon that died, or started by hand.
   */
  readonly orphans: () => Promise<readonly string[]>;
  readonly clock: Pick<Clock, 'delay'>;
  /** Told whenever what is waited for has changed. */
  readonly onWaiting: (text: string) => void;
}

/** `ended`: nothing of the sweep runs or waits. `left`: a later audit task has been given the work. */
export type WaitResult = 'ended' | 'left';

// A look costs pueue a few milliseconds and 1 KB for each task; nobody waits for an audit by the second.
const POLL_MS = 2_000;
const DAEMON_AWAY_MS = 10_000;
// Long enough for the tasks that wait to be started before it; pueue starts tasks every 0.3 s. Delayed tasks are
// looked for once a minute.
const AGAIN_SECONDS = { queued: 15, delayed: 60 };

/**
 * Waits until every task of a sweep has ended, whatever has become of it: done, failed, killed, never started.
 *
 * It runs as a task of the sweep's own group, the last that pueue starts there. Tasks that wait for a slot can be
 * behind it all the same (submitted again meanwhile, or delayed), and would wait for ever for a slot that it holds:
 * then it submits itself once more, or relies on another one that is queued already, and leaves. Tasks that run are
 * waited for, orphans of a daemon that died included.
 *
 * Errors: QrunError `PUEUE_*`, but not `PUEUE_DOWN`: a daemon that is away is waited for, as long as it takes. The
 * signal's reason when it is aborted.
 */
export async function waitForTasks(deps: WaitDeps, request: WaitRequest): Promise<WaitResult> {
  const { sweep, group, signal } = request;
  let told = '';
  const tell = (text: string): void => {
    if (text !== told) deps.onWaiting(text);
    told = text;
  };
  for (;;) {
    signal.throwIfAborted();
    const state = await readState(deps);
    if (state === undefined) {
      tell('waiting for the pueue daemon');
      await deps.clock.delay(DAEMON_AWAY_MS, signal);
      continue;
    }
    const live = state.tasks.filter(task => isLive(task) && nameInLabel(sweep, task.label) !== undefined);
    const units = live.filter(task => nameInLabel(sweep, task.label) !== AUDIT);
    if (units.some(task => task.group === group && waitsForSlot(task))) {
      await makeRoom(deps, request, live);
      return 'left';
    }
    const names = new Set(units.map(task => nameInLabel(sweep, task.label) as string));
    for (const name of await deps.orphans()) names.add(name);
    if (names.size === 0) return 'ended';
    tell(
      `waiting for ${names.size} of the sweep to end: ${[...names].slice(0, 3).join(', ')}${names.size > 3 ? ', ...' : ''}`,
    );
    await deps.clock.delay(POLL_MS, signal);
  }
}

async function readState({ pueue }: WaitDeps): Promise<PueueState | undefined> {
  try {
    return await pueue.status();
  } catch (error) {
    if (error instanceof QrunError && error.code === 'PUEUE_DOWN') return undefined;
    throw error;
  }
}

async function makeRoom(
  { pueue, onWaiting }: WaitDeps,
  { sweep, group, again }: WaitRequest,
  live: readonly PueueTask[],
): Promise<void> {
  const later = live.some(task => nameInLabel(sweep, task.label) === AUDIT && waitsForSlot(task));
  onWaiting(
    later
      ? 'tasks of the sweep wait for a slot: a later audit follows them'
      : 'tasks of the sweep wait for a slot: the audit is submitted again behind them',
  );
  if (later) return;
  const queued = live.some(({ phase }) => phase === 'queued');
  await pueue.add({
    ...again,
    group,
    label: taskLabel(sweep, AUDIT),
    delay: String(queued ? AGAIN_SECONDS.queued : AGAIN_SECONDS.delayed),
  });
}

function waitsForSlot({ phase }: PueueTask): boolean {
  return phase === 'queued' || phase === 'stashed' || phase === 'locked';
}
