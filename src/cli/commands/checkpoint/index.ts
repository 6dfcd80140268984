import { cliCommand } from '../../command.js';
import { repeatable } from '../../options.js';

// Which checkpoint is meant; without these options it is the one of the calling job.
const OF_JOB = [
  ['--file <file>', 'the checkpoint itself (default: what QRUN_CHECKPOINT names)'],
  ['--jobs <file>', 'the jobs.toml of the job'],
  repeatable('--param <name=value>', 'a parameter of that job (repeatable)'),
  ['--trust', 'even if others own the jobs.toml'],
] as const;

/** `qrun checkpoint path|get|set|clear`. */
export const checkpoint = cliCommand({
  name: 'checkpoint',
  description: 'read and write the checkpoint of a job, safely',
  commands: [
    cliCommand({
      name: 'path',
      description: 'print the path of the checkpoint',
      options: OF_JOB,
      load: async () => ({ run: (await import('./run.js')).path }),
    }),
    cliCommand({
      name: 'get',
      description: 'print the checkpoint, or nothing when there is none',
      options: [['--default <json>', 'what to print when there is no checkpoint'], ...OF_JOB],
      load: async () => ({ run: (await import('./run.js')).get }),
    }),
    cliCommand({
      name: 'set',
      description: 'replace the checkpoint, atomically and durably',
      argument: ['[value]', 'JSON; without it, or for "-", it is read from stdin'],
      options: OF_JOB,
      load: async () => ({ run: (await import('./run.js')).set }),
    }),
    cliCommand({
      name: 'clear',
      description: 'remove the checkpoint; there may be none',
      options: OF_JOB,
      load: async () => ({ run: (await import('./run.js')).clear }),
    }),
  ],
});
