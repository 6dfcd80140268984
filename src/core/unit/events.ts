import type { Output } from '../schema.js';
import type { runEvent } from './events.schema.js';
import type { outcomeCounts, schema as summary } from './unit.schema.js';

/** How often each outcome was recorded. */
export interface OutcomeCounts extends Output<typeof outcomeCounts> {}

/** What a run did, when it has ended. */
export interface RunSummary extends Output<typeof summary> {}

/**
 * What happens in a run, in order. The same objects go to the terminal and, one JSON line each with `at` in
 * front, to `--events FILE`; keys are therefore written as they appear in the file.
 */
export type RunEvent = Output<typeof runEvent>;

/** Where a run tells what happens; must not throw. */
export type EventSink = (event: RunEvent) => void;
