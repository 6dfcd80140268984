import { realpathSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isLive, type QueueTask, type TaskQueue } from '../../src/core/queue/queue.js';
import type { UnitStatus } from '../../src/core/sweep/status.js';
import { type Ended, put, qrun, tree } from '../integration/qrun.js';
import type { ClickHouseServer } from './clickhouse-server.js';

const LIMIT_MS = 60_000;

/** Waits until `look` gives something; a condition, not a time, ends it. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  limitMs = LIMIT_MS,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${limitMs / 1000} s`);
    await delay(50);
  }
}

/** What `qrun status --json` says, as far as tests look at it. */
export interface Status {
  readonly sweep: string;
  readonly units: readonly UnitStatus[];
  readonly audit: { readonly state: string; readonly verdict?: string; readonly note: string };
  readonly paused_groups: readonly string[];
  readonly queue_problem: string | null;
}

/** A queue of the tests' own. */
export interface TestQueue {
  /** What a process needs in its environment to reach it. */
  readonly env: Readonly<Record<string, string>>;
  /** A client of qrun's. */
  client(): Promise<TaskQueue>;
}

/** A sweep in a directory of its own, on a queue and a server. */
export class TestSweep {
  readonly root: string;
  readonly group: string;

  constructor(
    readonly name: string,
    readonly daemon: TestQueue,
    server: ClickHouseServer,
    files: Readonly<Record<string, string>>,
    { toml = '', settings = '' } = {},
  ) {
    this.root = realpathSync(tree(files));
    this.group = `qrun-${name}`;
    const url = `url = "${server.url}"\nuser = "${server.second.user}"\n${settings}`;
    put(this.root, 'qrun.toml', `${url}\n[sweep]\nname = "${name}"\n${toml}`);
    put(this.root, '.env', `CLICKHOUSE_PASSWORD=\`${server.second.password}\`\n`);
  }

  qrun(...args: string[]): Promise<Ended> {
    return qrun(args, { cwd: this.root, env: { ...this.daemon.env } });
  }

  async submit(...args: string[]): Promise<Ended> {
    return await this.qrun('submit-all', '.', ...args);
  }

  /** What a submission that must succeed did. */
  async submitted(
    ...args: string[]
  ): Promise<
    Record<'submitted' | 'queued' | 'running' | 'complete' | 'elsewhere', string[]> & { audit: string }
  > {
    const { code, stdout, stderr } = await this.submit('--json', ...args);
    if (code !== 0) throw new Error(`submit-all: ${code}\n${stderr}`);
    return JSON.parse(stdout);
  }

  async status(): Promise<Status> {
    const { code, stdout, stderr } = await this.qrun('status', '.', '--json');
    if (code !== 0) throw new Error(`status: ${code}\n${stderr}`);
    return JSON.parse(stdout) as Status;
  }

  async tasks(): Promise<QueueTask[]> {
    const { tasks } = await (await this.daemon.client()).state();
    return tasks.filter(({ label }) => label.startsWith(`qrun:${this.name}:`));
  }

  task(name: string): Promise<QueueTask> {
    return until(`a task for ${name}`, async () =>
      (await this.tasks()).findLast(({ label }) => label === `qrun:${this.name}:${name}`),
    );
  }

  running(name: string): Promise<QueueTask> {
    return until(`${name} to run`, async () =>
      (await this.tasks()).find(
        ({ label, phase }) => label === `qrun:${this.name}:${name}` && phase === 'running',
      ),
    );
  }

  /** Resolves with the audit's last task when no task of the sweep is left to run. */
  ended(): Promise<QueueTask> {
    return until('the sweep to end', async () => {
      const tasks = await this.tasks();
      if (tasks.length === 0 || tasks.some(isLive)) return undefined;
      return tasks.findLast(({ label }) => label === `qrun:${this.name}:#audit`);
    });
  }
}

/** Query files of one unit, each with one row. */
export function quick(unit: string, count: number): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, n) => [`${unit}/q${n}.sql`, `SELECT ${n} AS n;\n`]),
  );
}

/** Query files that take `seconds` each, at most 3. */
export function slow(unit: string, count: number, seconds = 2): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, n) => [
      `${unit}/s${n}.sql`,
      `SELECT ${n} AS n, sleep(${seconds}) AS s;\n`,
    ]),
  );
}
