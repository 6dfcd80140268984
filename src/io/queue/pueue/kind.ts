import type { QueueKind } from '../../../core/queue/queue.js';
import { shellCommand } from '../../../core/text/shell.js';

/**
 * The pueue daemon of a user, as one kind of queue. Every run loads this, to know whether it is a task, so the client
 * and what starts it (25 ms) is loaded when it is opened.
 */
export const PUEUE: QueueKind = {
  name: 'pueue',
  server: 'pueued',
  // A dependent task would never run if one of the others failed.
  last: 'priority',
  usersGroup: 'default',
  commandText: shellCommand,
  taskIn: ({ PUEUE_GROUP: group }) => (group === undefined ? undefined : { group }),
  async open(options) {
    const { Pueue } = await import('./client.js');
    return await Pueue.open(PUEUE, options);
  },
  commands: {
    startGroup: group => ['pueue', 'start', `--group=${group}`],
    clean: group => ['pueue', 'clean', ...(group === undefined ? [] : [`--group=${group}`])],
    listGroups: ['pueue', 'group'],
  },
};
