import type { QueueKind } from '../../../core/queue/queue.js';
import { shellCommand } from '../../../core/text/shell.js';

/**
 * The pueue daemon of a user, as one kind of queue. Every run loads this file to find out whether it is a task. The
 * client and what starts it (25 ms) are therefore loaded only when it is opened.
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
