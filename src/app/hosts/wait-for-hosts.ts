import type { Clock } from '../../core/clock.js';
import { waitingText } from '../sweep/wait-for-tasks.js';

/** What hosts say of a sweep. */
export interface HostsLook {
  /** Units that wait or run on those that answer. */
  readonly live: readonly string[];
  /** Hosts of which nothing is known, and why, for people. */
  readonly silent: readonly { readonly name: string; readonly says: string }[];
}

export interface HostsWait {
  readonly look: () => Promise<HostsLook>;
  /** Brings in what hosts have recorded, and returns whether the results of all units are here. */
  readonly isAllHere: () => Promise<boolean>;
  readonly clock: Pick<Clock, 'delay' | 'monotonicMs'>;
  /** Called whenever what is waited for has changed. */
  readonly onWaiting: (text: string) => void;
  readonly signal: AbortSignal;
}

// A look is a process on each host (0.2 s of it); nobody needs an audit to the second.
const POLL_MS = 5_000;
/** How long a silent host is waited for when nothing runs on the others. A reboot takes that long, and a new route. */
export const SILENT_LIMIT_MS = 300_000;

/**
 * Waits until no unit of a sweep waits or runs on any of its hosts. A host that is silent may run units: it is waited
 * for as long as others run something, and then for {@link SILENT_LIMIT_MS}, unless everything is here by then.
 *
 * Errors: those of `look` and `isAllHere`; the reason of the signal.
 */
export async function waitForHosts(wait: HostsWait): Promise<void> {
  const { clock, onWaiting, signal } = wait;
  let told = '';
  const tell = (text: string): void => {
    if (text !== told) onWaiting(text);
    told = text;
  };
  const toldOf = new Set<string>();
  let aloneSinceMs: number | undefined;
  for (;;) {
    signal.throwIfAborted();
    const { live, silent } = await wait.look();
    for (const { name, says } of silent) {
      if (!toldOf.has(name)) onWaiting(`nothing is known of ${name}: ${says}`);
      toldOf.add(name);
    }
    for (const name of toldOf) {
      if (silent.every(other => other.name !== name)) toldOf.delete(name);
    }
    if (live.length > 0) {
      aloneSinceMs = undefined;
      tell(waitingText(live));
    } else {
      if (silent.length === 0) return;
      const names = silent.map(({ name }) => name).join(', ');
      if (aloneSinceMs === undefined) {
        if (await wait.isAllHere()) return;
        aloneSinceMs = clock.monotonicMs();
      } else if (clock.monotonicMs() - aloneSinceMs >= SILENT_LIMIT_MS) {
        onWaiting(
          `${names} has not answered for ${SILENT_LIMIT_MS / 60_000} minutes: the audit goes on without it`,
        );
        return;
      }
      tell(`the others have ended: waiting for ${names}, for ${SILENT_LIMIT_MS / 60_000} minutes at most`);
    }
    await clock.delay(POLL_MS, signal);
  }
}
