import { askTexts } from './http/ask.js';
import type { ControlClient } from './http/control.js';

// Versions without aliases do not have the column.
const UNKNOWN_IDENTIFIER = 47;

/**
 * The names that mean the same setting on a server (`enable_analyzer` and `allow_experimental_analyzer`). The server is
 * asked once, when they are first needed.
 */
export class SettingAliases {
  readonly #control: ControlClient;
  #canonical: Promise<ReadonlyMap<string, string> | undefined> | undefined;

  constructor(control: ControlClient) {
    this.#control = control;
  }

  /** Returns all names of these settings; none if the server does not tell. */
  async of(names: Iterable<string>, stop: AbortSignal): Promise<readonly string[]> {
    this.#canonical ??= this.#ask(stop);
    const canonical = await this.#canonical;
    if (canonical === undefined) {
      this.#canonical = undefined;
      return [];
    }
    const wanted = new Set(Array.from(names, name => canonical.get(name) ?? name));
    const aliases = Array.from(canonical).flatMap(([alias, name]) => (wanted.has(name) ? [alias] : []));
    return [...wanted, ...aliases];
  }

  async #ask(stop: AbortSignal): Promise<ReadonlyMap<string, string> | undefined> {
    const sql = "SELECT name AS n, alias_for AS a FROM system.settings WHERE alias_for != ''";
    const answer = await askTexts(this.#control, { sql }, ['n', 'a'], stop);
    if (answer.ok) return new Map(answer.rows.map(({ n, a }) => [n, a]));
    return answer.failure.code === UNKNOWN_IDENTIFIER ? new Map() : undefined;
  }
}
