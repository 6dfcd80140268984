import { QrunError } from '../../../core/errors.js';
import type { QueueOptions } from '../../../core/queue/queue.js';
import { plainEnvironment } from '../../machine/plain-environment.js';
import { type ProgramEnd, runProgram } from '../../machine/program.js';

/** Calls a client of Slurm, and resolves with what it printed. `input`: what it reads from stdin. */
export type Call = (program: string, args: readonly string[], input?: string) => Promise<string>;

// Those by which a user says where the controller is, and what jobs get that say nothing else. Tasks get them too: the
// audit may submit itself again. Slurm keeps the environment of `sbatch` in its own files, so that tasks and clients get
// no others: secrets are read at run time, from .env or a password file.
const MORE_VARIABLES = [
  ...['SHELL', 'NO_COLOR', 'SLURM_CONF'],
  ...[
    'PARTITION',
    'ACCOUNT',
    'QOS',
    'CONSTRAINT',
    'RESERVATION',
    'TIMELIMIT',
    'MEM_PER_NODE',
    'CLUSTERS',
  ].map(name => `SBATCH_${name}`),
];
// They name places of this machine, which another node need not have.
const OF_THIS_MACHINE = ['TMPDIR', 'XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS'];

// The first whose `squeue` knows `--me` in all its releases.
const LEAST_MAJOR = 21;
// A client asks a controller that does not answer for ten seconds, and then its backups.
const LIMIT_MS = 60_000;
// It asks nobody, but without a configuration it looks for one for a minute.
const VERSION_LIMIT_MS = 10_000;

/** Finds the clients and checks their version; does not ask the controller. Errors: QrunError `QUEUE_*`. */
export async function slurmCalls({
  env,
  signal,
}: QueueOptions): Promise<{ readonly call: Call; readonly version: string }> {
  const all = plainEnvironment(env, MORE_VARIABLES);
  const taskEnv = Object.fromEntries(
    Object.entries(all).filter(([name, value]) => !OF_THIS_MACHINE.includes(name) && value !== ''),
  );
  const callFor =
    (timeoutMs: number): Call =>
    async (program, args, input) => {
      const end = await runProgram(program, args, {
        env: taskEnv,
        timeoutMs,
        ...(input === undefined ? {} : { input }),
        ...(signal === undefined ? {} : { signal }),
      });
      if (end.ok) return end.stdout;
      throw failure(program, end, timeoutMs);
    };
  const stdout = await callFor(VERSION_LIMIT_MS)('sbatch', ['--version']);
  const version = /(?<!\d)(\d{1,9})\.\d{1,9}(?:\.\d{1,9})?\S*/.exec(stdout);
  if (version === null || Number(version[1]) < LEAST_MAJOR) {
    throw new QrunError(
      'QUEUE_UNSUPPORTED',
      `sbatch is version ${version?.[0] ?? JSON.stringify(stdout.slice(0, 100))}; qrun needs Slurm ${LEAST_MAJOR} or later`,
      { hint: 'ask whoever runs the cluster, or load a later module' },
    );
  }
  return { call: callFor(LIMIT_MS), version: version[0] };
}

const NO_CONFIG = /configuration source|configuration file|cannot stat file/;
const NO_SERVER =
  /Unable to contact|[Cc]onnection refused|[Cc]ommunication connection failure|timed out|Zero Bytes|Unable to establish|not responding/;

function failure(program: string, end: ProgramEnd, limitMs: number): QrunError {
  if (end.startError === 'ENOENT' || end.startError === 'EACCES') {
    return new QrunError('QUEUE_MISSING', `there is no program ${program} in PATH (${end.startError})`, {
      hint: 'submit on a machine of the cluster (a login node), or load its module: module load slurm',
    });
  }
  const said = wordsOf(end.stderr) || end.message || 'it said nothing';
  if (NO_CONFIG.test(end.stderr)) {
    return new QrunError('QUEUE_DOWN', `Slurm is not configured here: ${said}`, {
      hint: 'submit on a machine of the cluster (a login node), or let SLURM_CONF name its slurm.conf',
    });
  }
  if (end.timedOut) {
    return new QrunError('QUEUE_DOWN', `${program} did not answer within ${limitMs / 1000} s: ${said}`, {
      hint: 'look whether the controller is alive: scontrol ping',
    });
  }
  if (NO_SERVER.test(end.stderr)) {
    return new QrunError('QUEUE_DOWN', `no Slurm controller answers: ${said}`, {
      hint: 'look whether it is alive: scontrol ping (SLURM_CONF names another cluster); what was submitted runs on',
    });
  }
  return new QrunError('QUEUE_FAILED', `${program} failed (exit ${end.exitCode}): ${said}`, {
    hint: hintOf(said),
  });
}

function wordsOf(stderr: string): string {
  return stderr
    .split('\n')
    .map(line => line.trim().replace(/^\w+: (?:error|fatal): /, ''))
    .filter(line => line !== '')
    .join('; ')
    .slice(0, 1000);
}

function hintOf(said: string): string {
  if (/partition/i.test(said)) {
    return 'sinfo lists the partitions; name one: partition = "..." under [sweep.slurm] in qrun.toml';
  }
  if (/account|qos/i.test(said)) {
    return 'sacctmgr show associations user=$USER lists yours; name one: account, qos under [sweep.slurm] in qrun.toml';
  }
  if (/memory|CPU count|node configuration|time limit/i.test(said)) {
    return 'no node has so much: look at memory_max, and at cpus and time under [sweep.slurm] in qrun.toml';
  }
  return 'squeue --me and scontrol show config tell more';
}
