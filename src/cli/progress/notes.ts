import type { QueryError } from '../../core/model.js';
import { formatSize } from '../../core/text/bytes.js';
import { formatDuration } from '../../core/text/duration.js';
import type { RunEvent } from '../../core/unit/events.js';
import { formatAmount, formatCount } from '../terminal/format.js';
import type { Style } from '../terminal/style.js';

/** Something that happened and is worth a line of its own, in safe text without colours. */
export interface Note {
  /** One word, at most eight letters. */
  readonly label: string;
  readonly level: 'plain' | 'good' | 'caution' | 'bad';
  /** The query it is about. */
  readonly subject?: string;
  readonly text: string;
  /** Further details, such as the server's message; may be long and is cut where there is no room. */
  readonly detail?: string;
  /** Where it is shown: `always` also with `--quiet`, `log` only where lines cannot be redrawn. */
  readonly shown: 'always' | 'normal' | 'log';
}

/** How many lines are shown of each error before it is only counted. */
const LINES_PER_ERROR = 5;

// ClickHouse messages may contain a whole stack; this much says what went wrong.
const DETAIL_LENGTH = 300;

const CLICKHOUSE_PREFIX = /^Code: \d+(?:, e\.displayText\(\) = |\. )(?:DB::\w*Exception: )?/;
// For a text whose runs of blanks were collapsed to one: several in a row would take polynomial time.
const CLICKHOUSE_SUFFIX = /(?<! )(?: ?\([A-Z][A-Z0-9_]+\))?(?: ?\(version [\w.]+(?: \([^()]*\))?\))?$/;

/** Returns the message of an error without what its code and name already say, on one safe line. */
export function shortMessage(message: string, style: Style, length = DETAIL_LENGTH): string {
  // Cut before it is escaped, so that a message of megabytes costs nothing.
  const head = message.length > 4 * length ? message.slice(0, 4 * length) : message;
  const line = head.replace(CLICKHOUSE_PREFIX, '').replace(/\s+/g, ' ').trim();
  const bare = line.replace(CLICKHOUSE_SUFFIX, '').trim();
  const safe = style.foreign(bare);
  return safe.length > length
    ? `${safe.slice(0, length - style.marks.ellipsis.length)}${style.marks.ellipsis}`
    : safe;
}

/** Returns an error by name and number: `MEMORY_LIMIT_EXCEEDED (241)`; errors not from ClickHouse have no number. */
export function errorTitle(error: Pick<QueryError, 'code' | 'name'>, style: Style): string {
  const name = style.foreign(error.name);
  return error.code === 0 ? name : `${name} (${error.code})`;
}

/** Returns the text of a note with its detail. */
export function wholeText({ text, detail }: Note): string {
  return detail === undefined || detail === '' ? text : `${text}: ${detail}`;
}

function note(
  label: string,
  level: Note['level'],
  shown: Note['shown'],
  text: string,
  about: Pick<Note, 'subject' | 'detail'> = {},
): Note {
  return { label, level, shown, text, ...about };
}

/**
 * Returns a function that returns the lines for each event of one run. It counts: only the first {@link
 * LINES_PER_ERROR} lines of each error are returned, the last of them with a remark that the rest is only counted.
 * Retries are counted separately from errors.
 */
export function createNotes(style: Style): (event: RunEvent) => readonly Note[] {
  const seen = new Map<string, number>();
  const limited = (key: string, one: Note): readonly Note[] => {
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    if (count > LINES_PER_ERROR) return [];
    if (count < LINES_PER_ERROR) return [one];
    return [one, note(one.label, 'plain', one.shown, `more of these are only counted: ${key}`)];
  };
  const foreign = style.foreign;

  return event => {
    switch (event.type) {
      case 'run_started': {
        const engine = `${event.engine} ${foreign(event.version)} at ${foreign(event.target)}`;
        return [
          note('start', 'plain', 'normal', startText(event, style)),
          note('engine', 'plain', 'normal', engine),
        ];
      }
      case 'setup_started':
        return [note('setup', 'plain', 'log', `${foreign(event.file)} started`)];
      case 'setup_done': {
        const database = event.database === null ? '' : `, database ${foreign(event.database)}`;
        const where = event.target === null ? '' : ` on ${foreign(event.target)}${database}`;
        const text = `${foreign(event.file)} done in ${formatDuration(event.duration_ms)}${where}`;
        return [note('setup', 'plain', 'normal', text)];
      }
      case 'query_retry': {
        const title = errorTitle(event.error, style);
        const text = `${title}, attempt ${event.attempt}, next in ${formatDuration(event.wait_ms)}`;
        const about = { subject: foreign(event.query), detail: shortMessage(event.error.message, style) };
        return limited(`${title}, tried again`, note('retry', 'caution', 'log', text, about));
      }
      case 'query_recorded': {
        if (event.error === null) return [];
        const title = errorTitle(event.error, style);
        const text = event.attempt > 1 ? `${title}, attempt ${event.attempt}` : title;
        const about = { subject: foreign(event.query), detail: shortMessage(event.error.message, style) };
        return limited(title, note('error', 'bad', 'normal', text, about));
      }
      case 'engine_lost':
        return [note('lost', 'bad', 'always', `engine lost: ${foreign(event.reason)}`)];
      case 'engine_back':
        return [note('back', 'good', 'always', `engine back after ${formatDuration(event.after_ms)}`)];
      case 'log_repaired': {
        const text = `the log ended in an incomplete record; ${formatSize(event.bytes)} were cut off and saved as ${foreign(event.saved_as)}`;
        return [note('repair', 'caution', 'always', text)];
      }
      case 'warning': {
        const text = foreign(event.message);
        return limited(text, note('warning', 'caution', 'always', text));
      }
      case 'stopping': {
        const what = event.how === 'drain' ? 'running queries are finished' : 'running queries are cancelled';
        return [note('stopping', 'caution', 'always', `${foreign(event.reason)}: ${what}`)];
      }
      case 'run_ended': {
        const { normal, skipped, error } = event.recorded;
        const text =
          `${formatCount(normal + skipped + error)} recorded ` +
          `(${formatCount(normal)} normal, ${formatCount(skipped)} skipped, ${formatCount(error)} error), ` +
          `${formatCount(event.not_run)} not run, in ${formatDuration(event.elapsed_ms)}; exit ${event.exit_code}`;
        return [note('end', 'plain', 'log', text)];
      }
      case 'query_started':
        return [];
    }
  };
}

function startText(event: Extract<RunEvent, { type: 'run_started' }>, style: Style): string {
  const before = event.settled === 0 ? '' : `${formatCount(event.settled)} settled before, `;
  return (
    `${style.foreign(event.unit)}: ${formatAmount(event.selected, 'query')}, ` +
    `${before}${formatCount(event.due)} due, ${formatCount(event.concurrency)} at once`
  );
}
