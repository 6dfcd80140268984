import { resolve } from 'node:path';
import { jobNamed } from '../../../app/jobs/run-job.js';
import { QrunError } from '../../../core/errors.js';
import { quietJson } from '../../../core/text/json.js';
import { unitId } from '../../../core/unit/names.js';
import { openCheckpoint } from '../../../io/jobs/checkpoint.js';
import { filesOf, readJobs } from '../../../local/jobs/context.js';
import type { Flags } from '../../command.js';
import { parsePairs } from '../../options.js';
import { escapeControls } from '../../terminal/controls.js';
import type { Terminal } from '../../terminal/streams.js';

/** What can be done with a checkpoint. */
export type CheckpointAction = 'path' | 'get' | 'set' | 'clear';

// A checkpoint says where to continue; a larger one is a result and belongs in a file of its own.
const MAX_INPUT_BYTES = 64 * 1024 * 1024;

/** `qrun checkpoint ACTION`: for jobs in any language. Returns the exit code. */
export async function checkpointCommand(
  action: CheckpointAction,
  value: string | undefined,
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const path = checkpointPath(flags, terminal);
  const checkpoint = openCheckpoint(path, {
    onSetAside: (aside, reason) =>
      terminal.err.write(
        `qrun: the checkpoint could not be used (${reason}) and is now ${terminal.errStyle.foreign(aside)}\n`,
      ),
  });
  if (action === 'path') {
    if (escapeControls(path) !== path) {
      throw new QrunError('USAGE', `the path of the checkpoint holds control characters: ${path}`, {
        hint: 'a program reads it from here as one line: give the directory another name',
      });
    }
    terminal.out.write(`${path}\n`);
  }
  if (action === 'get') {
    const text = (await checkpoint.readText()) ?? (flags.default as string | undefined);
    if (text !== undefined) terminal.out.write(`${quietJson(text)}\n`);
  }
  if (action === 'set') {
    await checkpoint.writeText(value === undefined || value === '-' ? await readInput(terminal) : value);
  }
  if (action === 'clear') await checkpoint.clear();
  return 0;
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
