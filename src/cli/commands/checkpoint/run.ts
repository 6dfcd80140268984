import { resolve } from 'node:path';
import { jobNamed } from '../../../app/jobs/run-job.js';
import { QrunError } from '../../../core/errors.js';
import { quietJson } from '../../../core/text/json.js';
import { unitId } from '../../../core/unit/names.js';
import { type Checkpoint, openCheckpoint } from '../../../io/jobs/checkpoint.js';
import { filesOf, readJobs } from '../../../local/jobs/context.js';
import type { Call, Flags } from '../../command.js';
import { parsePairs } from '../../options.js';
import { escapeControls } from '../../terminal/controls.js';
import type { Terminal } from '../../terminal/streams.js';

// A checkpoint says where to continue; a larger one is a result and belongs in a file of its own.
const MAX_INPUT_BYTES = 64 * 1024 * 1024;

/** `qrun checkpoint path`; all four are for jobs in any language, and return the exit code. */
export async function path({ flags, terminal }: Call): Promise<number> {
  const named = checkpointPath(flags, terminal);
  if (escapeControls(named) !== named) {
    throw new QrunError('USAGE', `the path of the checkpoint holds control characters: ${named}`, {
      hint: 'a program reads it from here as one line: give the directory another name',
    });
  }
  terminal.out.write(`${named}\n`);
  return 0;
}

/** `qrun checkpoint get`. */
export async function get(call: Call): Promise<number> {
  const text = (await checkpointOf(call).readText()) ?? (call.flags.default as string | undefined);
  if (text !== undefined) call.terminal.out.write(`${quietJson(text)}\n`);
  return 0;
}

/** `qrun checkpoint set [VALUE]`. */
export async function set(call: Call<string | undefined>): Promise<number> {
  const { argument: value, terminal } = call;
  const checkpoint = checkpointOf(call);
  await checkpoint.writeText(value === undefined || value === '-' ? await readInput(terminal) : value);
  return 0;
}

/** `qrun checkpoint clear`. */
export async function clear(call: Call): Promise<number> {
  await checkpointOf(call).clear();
  return 0;
}

function checkpointOf({ flags, terminal }: Pick<Call, 'flags' | 'terminal'>): Checkpoint {
  const { err, errStyle } = terminal;
  return openCheckpoint(checkpointPath(flags, terminal), {
    onSetAside: (aside, reason) =>
      err.write(`qrun: the checkpoint could not be used (${reason}) and is now ${errStyle.foreign(aside)}\n`),
  });
}

function checkpointPath(flags: Flags, terminal: Terminal): string {
  const { file, jobs: jobsFile, param = [] } = flags as { file?: string; jobs?: string; param?: string[] };
  if (file !== undefined && jobsFile !== undefined) {
    throw new QrunError('USAGE', '--file and --jobs both name a checkpoint', { hint: 'give one of them' });
  }
  if (jobsFile === undefined && param.length > 0) {
    throw new QrunError('USAGE', '--param names a job of a jobs.toml', { hint: 'name that with --jobs' });
  }
  if (jobsFile !== undefined) {
    const jobs = readJobs(jobsFile, terminal, flags);
    return filesOf(jobs, jobNamed(jobs, unitId(jobs.sweep, parsePairs('--param', param)))).checkpoint;
  }
  const named = file ?? terminal.env.QRUN_CHECKPOINT;
  if (named === undefined || named === '') {
    throw new QrunError('USAGE', 'it is not known which checkpoint is meant', {
      hint: 'inside a job QRUN_CHECKPOINT names it; elsewhere give --file FILE, or --jobs jobs.toml with --param name=value for each parameter',
    });
  }
  return resolve(terminal.cwd, named);
}

async function readInput({ proc }: Terminal): Promise<string> {
  if (proc.stdin.isTTY === true) {
    throw new QrunError('USAGE', 'there is no value to set', {
      hint: `qrun checkpoint set '{"done": 42}', or pipe it in`,
    });
  }
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of proc.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_INPUT_BYTES) {
      throw new QrunError(
        'USAGE',
        `a checkpoint of more than ${MAX_INPUT_BYTES / 1024 ** 2} MiB is refused`,
        {
          hint: 'save results in separate files, and in the checkpoint only how far they reach',
        },
      );
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}
