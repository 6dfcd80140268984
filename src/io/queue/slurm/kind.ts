import type { QueueKind } from '../../../core/queue/queue.js';
import { shellCommand } from '../../../core/text/shell.js';
import { TASK_GROUP } from '../task-variables.js';

/**
 * A Slurm cluster, as one kind of queue. Every run loads this file to find out whether it is a task; what starts the
 * clients is loaded only when it is opened.
 */
export const SLURM: QueueKind = {
  name: 'slurm',
  server: 'slurmctld',
  last: 'dependency',
  isCluster: true,
  commandText: shellCommand,
  taskIn: ({ SLURM_JOB_ID: job, [TASK_GROUP]: group }) =>
    job === undefined || group === undefined ? undefined : { group },
  async open(options) {
    const { Slurm } = await import('./client.js');
    return await Slurm.open(SLURM, options);
  },
  hostIn: ({ SLURMD_NODENAME: node }) => node,
  again: {
    starts: ({ SLURM_ARRAY_JOB_ID: job, SLURM_ARRAY_TASK_ID: index, SLURM_RESTART_COUNT: restarts = '0' }) =>
      job === undefined || index === undefined ? undefined : 1 + (Number(restarts) || 0),
    async ask(options) {
      const { requeue } = await import('./requeue.js');
      await requeue(options);
    },
  },
  commands: {},
};
