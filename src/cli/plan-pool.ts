import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import pLimit, { type LimitFunction } from 'p-limit';
import type { PlannedUnit } from '../app/plan-sweep.js';
import type { PlanOptions } from '../app/plan-unit.js';
import { type ErrorCode, QrunError } from '../core/errors.js';
import type { UnitContext } from './context.js';

/** A unit to plan, as plain data for a thread. */
export interface PlanQuestion
  extends Pick<PlanOptions, 'inputs' | 'selection' | 'rerun' | 'allowPlaceholders' | 'usedElsewhere'> {
  readonly unit: string;
  readonly directory: string;
  readonly logPath: string;
}

/** What a thread found: the counts, a QrunError, or a bug with its stack. */
export type PlanAnswer =
  | PlannedUnit
  | {
      readonly refused: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly hint: string | undefined;
        readonly details: readonly string[];
      };
    }
  | { readonly bug: string };

// A thread takes 40 ms to start, as long as 500 files take to read: fewer units are not worth one.
const UNITS_FOR_A_THREAD = 20;
// Reading and lexing 300,000 files is work for the processor; more threads than this wait for the disk.
const MAX_THREADS = 8;

/**
 * Plans units on as many threads as there are cores; the same as planning them here, in a fraction of the time.
 */
export class PlanPool {
  readonly #all: Worker[] = [];
  readonly #idle: Worker[] = [];
  readonly #limit: LimitFunction;

  constructor(units: number) {
    const wanted = Math.min(MAX_THREADS, availableParallelism(), Math.ceil(units / UNITS_FOR_A_THREAD));
    const size = Math.max(1, wanted);
    this.#limit = pLimit(size);
    for (let n = 0; n < size; n += 1) {
      const worker = new Worker(new URL('./plan-worker.js', import.meta.url));
      // One that died has said so to whoever waits for its answer.
      worker.on('error', () => {});
      this.#all.push(worker);
      this.#idle.push(worker);
    }
  }

  /**
   * Plans one unit when a thread is free. `usedElsewhere`: parameters that its setup uses.
   *
   * Errors: as `previewUnit`; the signal's reason when it is aborted.
   */
  plan(unit: UnitContext, usedElsewhere: ReadonlySet<string>, signal: AbortSignal): Promise<PlannedUnit> {
    return this.#limit(async () => {
      // As many are idle as the limit lets in.
      const worker = this.#idle.pop() as Worker;
      try {
        return planned(await ask(worker, questionOf(unit, usedElsewhere), signal));
      } finally {
        this.#idle.push(worker);
      }
    });
  }

  /** Ends the threads, whatever they are at. */
  async close(): Promise<void> {
    await Promise.all(this.#all.map(worker => worker.terminate()));
  }
}

function questionOf(
  { unit, directory, logPath, inputs, config }: UnitContext,
  usedElsewhere: ReadonlySet<string>,
): PlanQuestion {
  return {
    unit,
    directory,
    logPath,
    inputs,
    selection: { include: config.include, exclude: config.exclude, shard: undefined, shuffle: undefined },
    rerun: config.rerun,
    allowPlaceholders: config.allow_placeholders,
    usedElsewhere,
  };
}

function planned(answer: PlanAnswer): PlannedUnit {
  if ('bug' in answer) throw new Error(answer.bug);
  if (!('refused' in answer)) return answer;
  const { code, message, hint, details } = answer.refused;
  throw new QrunError(code, message, { details, ...(hint === undefined ? {} : { hint }) });
}

function ask(worker: Worker, question: PlanQuestion, signal: AbortSignal): Promise<PlanAnswer> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      worker.off('message', onMessage);
      worker.off('error', onError);
      signal.removeEventListener('abort', onAbort);
      end();
    };
    const onMessage = (answer: PlanAnswer): void => settle(() => resolve(answer));
    const onError = (error: Error): void => settle(() => reject(error));
    const onAbort = (): void => settle(() => reject(signal.reason));
    worker.once('message', onMessage);
    worker.once('error', onError);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    else worker.postMessage(question);
  });
}
