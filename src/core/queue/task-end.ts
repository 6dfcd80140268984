import { EXIT_TABLE, type ExitCode } from '../errors.js';

/**
 * What the end of a task means to whoever schedules it:
 *
 * - `done`: it is not started again;
 * - `done_with_errors`: the same; the errors are in the log;
 * - `retry_here`: started again on the same host, later;
 * - `retry_elsewhere`: started again on another host;
 * - `stopped`: it was asked to end. It is not started again, unless whoever asked has lost the task meanwhile;
 * - `never`: started again it ends the same way, until a person has changed something.
 */
export type TaskEnd = 'done' | 'done_with_errors' | 'retry_here' | 'retry_elsewhere' | 'stopped' | 'never';

/** What a scheduler does about an exit code. */
export interface TaskRule {
  readonly end: TaskEnd;
  /** Whether this end is one of the attempts that the scheduler allows a task; only for those that are retried. */
  readonly counts: boolean;
  /** How many times in all a task is started if it keeps ending like this; `null` for the scheduler's own limit. */
  readonly starts: number | null;
  /** What to do and why, for people. */
  readonly advice: string;
}

const once = (end: TaskEnd, advice: string): TaskRule => ({ end, counts: false, starts: 1, advice });

const STOPPED = once(
  'stopped',
  'it was asked to end and has drained: nothing, or again if the scheduler has lost it meanwhile (`--alive-fd`)',
);
const AWAY: TaskRule = {
  end: 'retry_here',
  counts: true,
  starts: null,
  advice:
    'later, with pauses that double up to some minutes: a server or a queue is away, or a resource is taken',
};

// A table over all codes, so that a new one does not compile before somebody has decided.
const RULES: Readonly<Record<ExitCode, TaskRule>> = {
  0: once('done', 'nothing: everything is recorded'),
  1: once('never', 'a person reports it: it is a bug'),
  2: once('never', 'a person corrects the call, the configuration or the files'),
  20: once(
    'done_with_errors',
    'nothing: the errors are in the log. Not a failure of the task: that would stop what depends on it',
  ),
  21: once('never', 'submit the sweep again: what is missing runs; what is doubled needs a person'),
  22: {
    end: 'retry_here',
    counts: false,
    starts: null,
    advice: 'later: another process of this host holds the lease of the unit, and does its work',
  },
  23: {
    end: 'retry_elsewhere',
    counts: true,
    starts: 2,
    advice: 'once, on another host: the disk here is full or its log damaged, which a person repairs',
  },
  24: AWAY,
  25: once('never', 'a person looks at the errors: the run was halted by policy'),
  26: AWAY,
  129: STOPPED,
  130: STOPPED,
  137: {
    end: 'retry_here',
    counts: true,
    starts: 3,
    advice:
      'three starts at most: killed from outside, or for lack of memory. Killed twice at its cap, a unit is too large for it',
  },
  143: STOPPED,
};

/**
 * Returns what a scheduler does about the end of a task (`qrun unit`, `qrun job`, `qrun audit-all`). `code`: as a shell
 * gives it, with 128 + N for signal N. A code that qrun does not return says that something ended the process, as
 * SIGKILL does, so the rule of 137 applies.
 */
export function taskRule(code: number): TaskRule {
  return Object.hasOwn(RULES, code) ? RULES[code as ExitCode] : RULES[137];
}

// Of tasks whose rule leaves it to the scheduler: with pauses of minutes, an hour at most.
const MOST_STARTS = 10;

/** What a task of an array tells its scheduler. */
export interface TaskAnswer {
  /** The exit code of the task: 0 for all that is not a failure of the task. */
  readonly exitCode: number;
  /** Whether it is started again, by whoever can. */
  readonly again: boolean;
}

/**
 * Returns what a task tells its scheduler about the end of the qrun in it. `starts`: how often it was started, this time
 * included. A task that should run on another host is not started again: all nodes have the same disk there.
 */
export function taskAnswer(code: number, starts: number): TaskAnswer {
  const rule = taskRule(code);
  const isDone = rule.end === 'done' || rule.end === 'done_with_errors';
  const again = rule.end === 'retry_here' && starts < (rule.starts ?? MOST_STARTS);
  return { exitCode: isDone ? 0 : code, again };
}

const END_TEXT: Readonly<Record<TaskEnd, string>> = {
  done: 'no',
  done_with_errors: 'no',
  retry_here: 'on this host',
  retry_elsewhere: 'on another host',
  stopped: 'no',
  never: 'no',
};

/** Returns the table as Markdown, for the documents; codes with the same rule are one row. */
export function taskEndTable(): string {
  const codes = new Map<TaskRule, number[]>();
  for (const { code } of EXIT_TABLE) {
    const rule = RULES[code];
    codes.set(rule, [...(codes.get(rule) ?? []), code]);
  }
  const rows = [...codes].map(([rule, own]) => {
    const { end, counts, advice } = rule;
    const isRetried = end === 'retry_here' || end === 'retry_elsewhere';
    const counted = isRetried ? (counts ? 'yes' : 'no') : '';
    return `| ${own.join(', ')} | \`${end}\` | ${END_TEXT[end]} | ${counted} | ${advice} |`;
  });
  return [
    '| exit code | the task is | start it again | counts as an attempt | what to do |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}
