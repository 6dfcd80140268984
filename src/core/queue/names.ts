/** The queues that a sweep can be submitted to, by the names that people use; the first one is the default. */
export const QUEUE_NAMES = ['pueue', 'slurm'] as const;

/** The name of one of them. */
export type QueueName = (typeof QUEUE_NAMES)[number];
