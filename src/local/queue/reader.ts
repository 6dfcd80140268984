import { QrunError } from '../../core/errors.js';
import type { QueueKind, QueueOptions, QueueState, TaskQueue } from '../../core/queue/queue.js';

/** Returns a function that reads a queue, any number of times, and resolves with its state or with why it cannot be read. */
export function queueReader(kind: QueueKind, options: QueueOptions): () => Promise<QueueState | QrunError> {
  let queue: TaskQueue | undefined;
  return async () => {
    try {
      queue ??= await kind.open(options);
      return await queue.state();
    } catch (error) {
      if (error instanceof QrunError) return error;
      throw error;
    }
  };
}
