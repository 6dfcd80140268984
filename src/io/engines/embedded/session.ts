import { randomUUID } from 'node:crypto';
import type { Settings } from '../../../core/model.js';
import type { ChdbConnection } from './chdb.js';

/** Settings by name; `param_x` is the parameter x. */
export type SettingsMap = ReadonlyMap<string, string>;

const MARK = 'log_comment';

/**
 * A connection that queries run on one after the other, with what has been set on it.
 *
 * A query may follow another one on it only if nothing of that one is left: it was a plain SELECT that succeeded, and
 * {@link accepts} holds. (chDB puts the rows of a query that failed halfway in front of the connection's next result.)
 */
export class Session {
  readonly connection: ChdbConnection;
  /** The value of `log_comment`, by which KILL QUERY finds what runs here. */
  readonly mark = `qrun-${randomUUID()}`;
  readonly #set = new Map<string, string>();
  #isFor: { readonly settings: Settings; readonly timeoutMs: number } | undefined;

  constructor(connection: ChdbConnection) {
    this.connection = connection;
  }

  /**
   * Whether a query that needs `settings` may run here: nothing else has been set, and none of the parameters that the
   * query names without having a value for them.
   */
  accepts(settings: SettingsMap, withoutValue: readonly string[]): boolean {
    for (const name of this.#set.keys()) {
      if (name !== MARK && !name.startsWith('param_') && !settings.has(name)) return false;
    }
    return withoutValue.every(name => !this.#set.has(`param_${name}`));
  }

  /** Returns those of `settings` and the mark that are not set here yet. */
  missing(settings: SettingsMap): SettingsMap {
    const wanted = new Map(settings).set(MARK, this.mark);
    for (const [name, value] of wanted) {
      if (this.#set.get(name) === value) wanted.delete(name);
    }
    return wanted;
  }

  /** Notes that `settings` have been set, for a request that needs nothing else except parameters. */
  note(settings: SettingsMap, request: { readonly settings: Settings; readonly timeoutMs: number }): void {
    for (const [name, value] of settings) this.#set.set(name, value);
    this.#isFor = { settings: request.settings, timeoutMs: request.timeoutMs };
  }

  /** Whether the settings were last set for a request with the very same settings and deadline. */
  isFor(settings: Settings, timeoutMs: number): boolean {
    return this.#isFor?.settings === settings && this.#isFor.timeoutMs === timeoutMs;
  }
}
