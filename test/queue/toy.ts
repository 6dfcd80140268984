import { spawn } from 'node:child_process';
import { QrunError } from '../../src/core/errors.js';
import type { NewTask, QueueGroup, QueueKind, QueueTask, TaskQueue } from '../../src/core/queue/queue.js';

// The smallest queue that qrun takes: in the memory of this process, with groups, priorities and dependencies.
export const TOY: QueueKind = {
  name: 'toy',
  server: 'this process',
  last: 'dependency',
  commandText: argv => JSON.stringify(argv),
  taskIn: ({ TOY_GROUP: group }) => (group === undefined ? undefined : { group }),
  open: async () => new ToyQueue(),
  commands: {},
};

type Task = { -readonly [Key in keyof QueueTask]: QueueTask[Key] } & { readonly wanted: NewTask };

export class ToyQueue implements TaskQueue {
  readonly kind = TOY;
  readonly version = '1';
  readonly #groups = new Map<string, QueueGroup>();
  #tasks: Task[] = [];
  #added = 0;

  async state() {
    return { tasks: this.#tasks.map(({ wanted: _, ...task }) => task), groups: new Map(this.#groups) };
  }

  async addGroup(name: string, slots: number): Promise<void> {
    if (!this.#groups.has(name)) this.#groups.set(name, { name, slots, paused: false });
  }

  async setSlots(name: string, slots: number): Promise<void> {
    if (slots < 1) throw new Error(`${slots} is not a number of slots`);
    this.#groups.set(name, { name, slots, paused: false });
    this.#startSome();
  }

  async clean(name: string): Promise<void> {
    this.#tasks = this.#tasks.filter(({ group, phase }) => group !== name || phase !== 'done');
  }

  async add(tasks: readonly NewTask[], onAdded?: (task: NewTask) => void): Promise<void> {
    for (const wanted of tasks) {
      const { label, directory, group, argv, delay } = wanted;
      if (!this.#groups.has(group)) throw new QrunError('QUEUE_FAILED', `there is no group ${group}`);
      const [id, command, phase] = [
        String(this.#added++),
        TOY.commandText(argv),
        delay ? 'delayed' : 'queued',
      ];
      this.#tasks.push({ id, label, directory, group, command, phase: phase as Task['phase'], wanted });
      onAdded?.(wanted);
    }
    this.#startSome();
  }

  #startSome(): void {
    const all = [...this.#tasks].sort((a, b) => (b.wanted.priority ?? 0) - (a.wanted.priority ?? 0));
    for (const task of all.filter(({ phase }) => phase === 'queued')) {
      const running = all.filter(({ phase, group }) => phase === 'running' && group === task.group).length;
      const isBefore = ({ label, phase }: Task) => phase !== 'done' && task.wanted.after?.includes(label);
      if (running < (this.#groups.get(task.group)?.slots ?? 0) && !all.some(isBefore)) this.#start(task);
    }
  }

  #start(task: Task): void {
    const [program = '', ...args] = task.wanted.argv;
    const env = { PATH: process.env.PATH, TOY_GROUP: task.group };
    task.phase = 'running';
    spawn(program, args, { cwd: task.directory, env, stdio: 'ignore' }).once('close', (exitCode, signal) => {
      const failed = { kind: 'failed', exitCode: exitCode ?? 1 } as const;
      task.phase = 'done';
      task.end = signal !== null ? { kind: 'killed' } : exitCode === 0 ? { kind: 'success' } : failed;
      this.#startSome();
    });
  }
}
