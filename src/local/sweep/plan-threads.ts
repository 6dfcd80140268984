import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import pLimit, { type LimitFunction } from 'p-limit';
import type { PlannedUnit } from '../../app/sweep/plan.js';
import { QrunError } from '../../core/errors.js';
import { believedDirectories } from '../../io/files/owner.js';
import type { UnitContext } from '../unit/context.js';
import type { UnitToPreview } from '../unit/plan.js';

/** A unit to plan, as plain data for a thread. */
export interface PlanQuestion extends UnitToPreview {
  /** Parameters that its setup uses. */
  readonly usedElsewhere: ReadonlySet<string>;
  /** See `believeBelow` of io/owner.ts. */
  readonly believed: readonly string[];
}

/** What a thread found: the counts, a QrunError, or a bug with its stack. */
export type PlanAnswer =
  | PlannedUnit
  | { readonly refused: Pick<QrunError, 'code' | 'message' | 'hint' | 'details'> }
  | { readonly bug: string };

// Starting a thread takes 40 ms, as long as reading 500 files: fewer units than this are not worth one.
const UNITS_FOR_A_THREAD = 20;
// Reading and lexing 300,000 files is work for the processor; more threads than this wait for the disk.
const MAX_THREADS = 8;

const NONE: ReadonlySet<string> = new Set();

/**
 * Plans units on as many threads as there are cores. The result is the same as planning them here, in a fraction of
 * the time.
 *
 * A thread answers one question after the other. A thread whose answer nobody waits for any more (the question was
 * given up, or the thread failed) is ended and replaced, so that no answer is taken for that of another question.
 */
export class PlanPool {
  readonly #all = new Set<Worker>();
  readonly #idle: Worker[] = [];
  readonly #limit: LimitFunction;
  readonly #program: URL;

  /** `program` is what the threads run. */
  constructor(units: number, program = new URL('./plan-worker.js', import.meta.url)) {
    const wanted = Math.min(MAX_THREADS, availableParallelism(), Math.ceil(units / UNITS_FOR_A_THREAD));
    const size = Math.max(1, wanted);
    this.#limit = pLimit(size);
    this.#program = program;
    for (let n = 0; n < size; n += 1) this.#idle.push(this.#start());
  }

  /**
   * Plans one unit when a thread is free. `usedElsewhere`: parameters that its setup uses.
   *
   * Errors: as `previewUnit`; the signal's reason when it is aborted.
   */
  plan(
    unit: UnitContext,
    signal: AbortSignal,
    usedElsewhere: ReadonlySet<string> = NONE,
  ): Promise<PlannedUnit> {
    return this.#limit(async () => {
      signal.throwIfAborted();
      const worker = this.#idle.pop() ?? this.#start();
      let answer: PlanAnswer;
      try {
        answer = await ask(worker, questionOf(unit, usedElsewhere), signal);
      } catch (error) {
        this.#all.delete(worker);
        void worker.terminate();
        throw error;
      }
      this.#idle.push(worker);
      return planned(answer);
    });
  }

  /** Ends the threads, whatever they are doing. */
  async close(): Promise<void> {
    await Promise.all([...this.#all].map(worker => worker.terminate()));
  }

  #start(): Worker {
    const worker = new Worker(this.#program);
    // A thread that died has already told whoever waits for its answer.
    worker.on('error', () => {});
    this.#all.add(worker);
    return worker;
  }
}

function questionOf(
  { unit, directory, logPath, linksWithin, inputs, config }: UnitContext,
  usedElsewhere: ReadonlySet<string>,
): PlanQuestion {
  return {
    unit,
    directory,
    logPath,
    linksWithin,
    inputs,
    config: { ...config, limit: undefined, shard: undefined, shuffle: undefined },
    usedElsewhere,
    believed: believedDirectories(),
  };
}

function planned(answer: PlanAnswer): PlannedUnit {
  if ('bug' in answer) throw new Error(answer.bug);
  if (!('refused' in answer)) return answer;
  const { code, message, hint, details } = answer.refused;
  throw new QrunError(code, message, { details, ...(hint === undefined ? {} : { hint }) });
}

async function ask(worker: Worker, question: PlanQuestion, signal: AbortSignal): Promise<PlanAnswer> {
  const answered = new AbortController();
  const until = { signal: AbortSignal.any([signal, answered.signal]) };
  worker.postMessage(question);
  const ended = once(worker, 'exit', until).then(() => {
    throw new Error('a thread ended without an answer');
  });
  try {
    // Also rejects with what the thread throws.
    const [answer] = await Promise.race([once(worker, 'message', until), ended]);
    return answer;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    answered.abort();
  }
}
