import type { Output } from '../schema.js';
import type { runEvent } from './events.schema.js';
import type { outcomeCounts, schema as summary } from './unit.schema.js';

/** How often each outcome was recorded. */
export interface OutcomeCounts extends Output<typeof outcomeCounts> {}

/** What a run has done when it ends. */
export interface RunSummary extends Output<typeof summary> {}

/**
 * What happens in a run, in order. The same objects go to the terminal and, as one line of JSON each with `at` in
 * front, to `--events FILE`; the keys are therefore spelt as in the file.
 */
export type RunEvent = Output<typeof runEvent>;

/** Called with what happens in a run; must not throw. */
export type EventSink = (event: RunEvent) => void;
