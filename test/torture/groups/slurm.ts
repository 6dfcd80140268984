import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODES, type SlurmCluster, slurmAvailable, startSlurmCluster } from '../../services/slurm-cluster.js';
import { type AnsweringServer, startAnswers } from '../answers.js';
import { start } from '../child.js';
import { kindOf, queryNames, rowsOf, type Shape, sqlOf } from '../expected.js';
import { describe } from '../log-trial.js';
import type { Random } from '../random.js';
import type { Context, Group, Row, Trial } from '../tally.js';

const UNITS = ['a', 'b', 'c', 'd', 'e', 'f'];
const QUERIES = queryNames(20);
const SHAPE: Shape = { rows: 3, rowBytes: 200 };
// A whole sweep takes about ten seconds; a node counts as down after five.
const PATIENCE_MS = 180_000;

const FAULTS = {
  task: 'qrun task, or its run, killed (kill -9)',
  scancel: 'a unit cancelled by scancel',
  submitter: 'submit-all killed (kill -9)',
  node: 'a node killed with all that runs on it',
  controller: 'slurmctld killed (kill -9)',
} as const;
type Fault = keyof typeof FAULTS;

/** A sweep as job arrays on two real nodes, of which something dies: then what is missing is submitted again. */
export const slurm: Group = {
  name: 'slurm',
  async run(context) {
    const rows = Object.entries(FAULTS).filter(([fault]) => context.scale === 'full' || fault === 'task');
    if (!slurmAvailable()) {
      for (const [, title] of rows) {
        const row = context.row(title);
        row.leaveOut('needs Slurm and munge');
        row.end();
      }
      return;
    }
    const [cluster, answers] = await Promise.all([startSlurmCluster({ maxArraySize: 4 }), startAnswers()]);
    answers.delayMs = 60;
    try {
      for (const [fault, title] of rows) {
        const row = context.row(title);
        for (let n = 0; n < context.count(1, 20); n += 1) {
          await trialOf(context, { cluster, answers, fault: fault as Fault }, row, n);
        }
        row.end();
      }
    } finally {
      await cluster.stop();
      await answers.stop();
    }
  },
};

interface Setting {
  readonly cluster: SlurmCluster;
  readonly answers: AnsweringServer;
  readonly fault: Fault;
}

async function trialOf(context: Context, setting: Setting, row: Row, n: number): Promise<void> {
  await row.trial(
    async trial => {
      const { cluster, answers, fault } = setting;
      const random = context.random(`slurm-${fault}-${n}`);
      const place = context.places.disk('slurm');
      const sweep = new TortureSweep(context, cluster, place.directory, `${fault}-${n}`, answers.url);
      if (fault !== 'submitter') await sweep.submit(trial);
      await inject(sweep, fault, random, trial);
      await sweep.finish(trial);
      sweep.verdict(trial);
    },
    { mayMiss: true },
  );
}

async function inject(sweep: TortureSweep, fault: Fault, random: Random, trial: Trial): Promise<void> {
  const { cluster } = sweep;
  if (fault === 'submitter') {
    const child = sweep.qrun('submit-all', '.', '--parallel', '4');
    await sleep(random.int(300, 2_000));
    child.kill('SIGKILL');
    if ((await child.ended).signal === 'SIGKILL') trial.injected();
    return;
  }
  await sweep.untilRecorded(random.int(1, 60));
  if (fault === 'task') {
    // Either may be hit: the task, whose run then drains by itself, or the run.
    const { stdout } = spawnSync('pgrep', ['-f', `qrun\\.cjs (task|unit) .*${sweep.root}`], {
      encoding: 'utf8',
    });
    const [first, ...others] = stdout.split('\n').filter(Boolean);
    if (first === undefined) return;
    try {
      process.kill(Number(random.pick([first, ...others])), 'SIGKILL');
    } catch {
      return;
    }
    trial.injected();
  } else if (fault === 'scancel') {
    const [first, ...others] = (await cluster.run('squeue', '-h', '-r', '-t', 'R', '-o', '%i'))
      .split('\n')
      .filter(Boolean);
    if (first === undefined) return;
    await cluster.run('scancel', '--quiet', random.pick([first, ...others])).catch(() => {});
    trial.injected();
  } else {
    const victim = fault === 'node' ? random.pick(NODES) : 'slurmctld';
    await cluster.kill(victim);
    trial.injected();
    await sleep(random.int(0, fault === 'node' ? 8_000 : 3_000));
    await cluster.restart(victim);
  }
}

class TortureSweep {
  readonly root: string;

  constructor(
    readonly context: Context,
    readonly cluster: SlurmCluster,
    directory: string,
    name: string,
    url: string,
  ) {
    this.root = join(directory, 'sweep');
    for (const unit of UNITS) {
      mkdirSync(join(this.root, unit), { recursive: true });
      for (const query of QUERIES) {
        writeFileSync(join(this.root, unit, `${query}.sql`), sqlOf(query, SHAPE));
      }
    }
    const toml = `url = "${url}"\nconcurrency = 1\nhalt = "same=off"\n[sweep]\nname = "${name}"\non = "slurm"\n`;
    writeFileSync(join(this.root, 'qrun.toml'), toml);
  }

  qrun(...args: string[]) {
    const { home } = this.context;
    return start(home, process.execPath, [home.cli, ...args], {
      cwd: this.root,
      env: { ...this.cluster.env },
      limitMs: PATIENCE_MS,
    });
  }

  async submit(trial: Trial): Promise<void> {
    const ended = await this.qrun('submit-all', '.', '--parallel', '4').ended;
    trial.expect(ended.code === 0, `submit-all: ${describe(ended)}`);
  }

  /** Resolves when the nodes have recorded so many lines, or nothing runs any more. */
  async untilRecorded(lines: number): Promise<void> {
    while (this.#lines() < lines && !(await this.#isIdle())) await sleep(50);
  }

  /** Submits what is missing until an audit finds nothing missing. A person does what Slurm leaves to people. */
  async finish(trial: Trial): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      await this.#idle(deadline);
      const { code, stdout } = await this.qrun('audit-all', '.', '--json').ended;
      if (code === 20 || code === 0) return;
      if (performance.now() > deadline) {
        trial.violation(`the sweep does not end: audit-all ${code} ${stdout.slice(0, 500)}`);
        return;
      }
      await this.submit(trial);
    }
  }

  /** Compares what was imported with what must be there: each query once, with its very rows. */
  verdict(trial: Trial): void {
    for (const unit of UNITS) {
      const found = new Map<string, { row?: unknown; outcome: string }[]>();
      for (const line of linesOf(join(this.root, 'results', `${unit}.ndjson`))) {
        const record = JSON.parse(line) as { query: string; row?: unknown; outcome: string };
        // Errors are tried again by each submission.
        if (record.outcome === 'error') continue;
        found.set(record.query, [...(found.get(record.query) ?? []), record]);
      }
      for (const query of QUERIES) {
        const rows = (found.get(query) ?? []).flatMap(({ row, outcome }) =>
          outcome === 'normal' ? [JSON.stringify(row)] : [],
        );
        const wanted = wantedRows(query);
        const isRight = JSON.stringify(rows) === JSON.stringify(wanted);
        trial.expect(isRight, `${unit}/${query}: ${rows.length} rows in place of ${wanted.length}`);
        if (kindOf(query) !== 'skipped') continue;
        const times = found.get(query)?.length ?? 0;
        trial.expect(times === 1, `${unit}/${query}: skipped ${times} times`);
      }
    }
  }

  #lines(): number {
    return this.#hosts().reduce(
      (sum, host) => sum + UNITS.reduce((all, unit) => all + linesOf(join(host, `${unit}.ndjson`)).length, 0),
      0,
    );
  }

  #hosts(): string[] {
    const from = join(this.root, 'results', '.from');
    try {
      return readdirSync(from).map(name => join(from, name));
    } catch {
      return [];
    }
  }

  async #isIdle(): Promise<boolean> {
    const stdout = await this.cluster.run('squeue', '-h', '-o', '%i').catch(() => 'unknown');
    return stdout === '';
  }

  async #idle(deadline: number): Promise<void> {
    while (!(await this.#isIdle()) && performance.now() < deadline) {
      // What an operator does about a node that Slurm has drained, and a user about a task that it holds.
      const states = await this.cluster.run('sinfo', '-h', '-N', '-o', '%N %T').catch(() => '');
      for (const line of states.split('\n')) {
        const [node = '', state = ''] = line.split(' ');
        if (/drain|down/.test(state)) {
          await this.cluster.run('scontrol', 'update', `NodeName=${node}`, 'State=RESUME').catch(() => {});
        }
      }
      const waiting = await this.cluster.run('squeue', '-h', '-r', '-t', 'PD', '-o', '%i %r').catch(() => '');
      for (const line of waiting.split('\n')) {
        if (/held/i.test(line))
          await this.cluster.run('scontrol', 'release', line.split(' ')[0] ?? '').catch(() => {});
      }
      await sleep(200);
    }
  }
}

function wantedRows(query: string): string[] {
  return rowsOf(query, SHAPE).map(row => JSON.stringify(JSON.parse(row)));
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}
