/** The variable that tells the process of a task, started by `qrun task`, in which group it is. */
export const TASK_GROUP = 'QRUN_TASK_GROUP';
