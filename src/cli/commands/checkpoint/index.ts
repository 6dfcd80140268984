import type { Command } from 'commander';
import { type Call, cliCommand } from '../../command.js';
import { collect } from '../../options.js';

/** `qrun checkpoint path|get|set|clear`. */
export const checkpoint = cliCommand({
  name: 'checkpoint',
  description: 'read and write the checkpoint of a job, safely',
  commands: [
    cliCommand({
      name: 'path',
      description: 'print the path of the checkpoint',
      declare: ofJob,
      run: doing('path'),
    }),
    cliCommand({
      name: 'get',
      description: 'print the checkpoint, or nothing when there is none',
      declare: command =>
        ofJob(command.option('--default <json>', 'what to print when there is no checkpoint')),
      run: doing('get'),
    }),
    cliCommand({
      name: 'set',
      description: 'replace the checkpoint, atomically and durably',
      declare: command =>
        ofJob(command.argument('[value]', 'JSON; without it, or for "-", it is read from stdin')),
      run: doing('set'),
    }),
    cliCommand({
      name: 'clear',
      description: 'remove the checkpoint; there may be none',
      declare: ofJob,
      run: doing('clear'),
    }),
  ],
});

// Which checkpoint is meant; without these options it is the one of the calling job.
function ofJob(command: Command): void {
  command
    .option('--file <file>', 'the checkpoint itself (default: what QRUN_CHECKPOINT names)')
    .option('--jobs <file>', 'the jobs.toml of the job')
    .option('--param <name=value>', 'a parameter of that job (repeatable)', collect)
    .option('--trust', 'even if others own the jobs.toml');
}

function doing(action: 'path' | 'get' | 'set' | 'clear') {
  return async ({ args: [value], flags, terminal }: Call<[value?: string]>): Promise<number> => {
    const { checkpointCommand } = await import('./run.js');
    return await checkpointCommand(action, value, flags, terminal);
  };
}
