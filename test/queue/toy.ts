import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { QrunError } from '../../src/core/errors.js';
import * as queue from '../../src/core/queue/queue.js';

// The smallest queue that qrun takes: in the memory of this process, with groups, priorities and dependencies.
export const TOY: queue.QueueKind = {
  name: 'toy',
  server: 'this process',
  last: 'dependency',
  commandText: argv => JSON.stringify(argv),
  taskIn: ({ TOY_GROUP: group }) => (group === undefined ? undefined : { group }),
  open: async () => new ToyQueue(),
  commands: {},
};

type Task = queue.NewTask & queue.QueueTask & { readonly stop?: () => void };

export class ToyQueue implements queue.TaskQueue {
  readonly kind = TOY;
  readonly version = '1';
  readonly #groups = new Map<string, queue.QueueGroup>();
  #tasks: Task[] = [];

  async state() {
    return { tasks: this.#tasks.map(task => ({ ...task })), groups: new Map(this.#groups) };
  }

  async addGroup(name: string, slots: number) {
    if (!this.#groups.has(name)) this.#groups.set(name, { name, slots, paused: false });
  }

  async setSlots(name: string, slots: number) {
    if (slots < 1) throw new Error(`${slots} is not a number of slots`);
    this.#groups.set(name, { name, slots, paused: false });
    this.#startSome();
  }

  async clean(name: string) {
    this.#tasks = this.#tasks.filter(task => task.group !== name || queue.isLive(task));
  }

  async cancel(labels: readonly string[]) {
    const mine = this.#tasks.filter(({ label }) => labels.includes(label));
    const [waiting, started] = [mine.filter(queue.isWaiting), mine.filter(queue.isStarted)];
    this.#tasks = this.#tasks.filter(task => !waiting.includes(task));
    for (const { stop } of started) stop?.();
    this.#startSome();
    return { removed: waiting.map(({ label }) => label), asked: started.map(({ label }) => label) };
  }

  async add(tasks: readonly queue.NewTask[], onAdded?: (task: queue.NewTask) => void) {
    for (const task of tasks) {
      if (!this.#groups.has(task.group)) throw new QrunError('QUEUE_FAILED', `no group ${task.group}`);
      const shown = { id: randomUUID(), command: TOY.commandText(task.argv) };
      this.#tasks.push({ ...task, ...shown, phase: task.delay ? 'delayed' : 'queued' });
      onAdded?.(task);
    }
    this.#startSome();
  }

  #startSome() {
    const ordered = [...this.#tasks].sort((a, b) => (b.priority ?? 0) - (a.priority ?? 0));
    for (const task of ordered.filter(({ phase }) => phase === 'queued')) {
      const running = ordered.filter(({ phase, group }) => phase === 'running' && group === task.group);
      const isFirst = !ordered.some(one => queue.isLive(one) && task.after?.includes(one.label));
      if (running.length >= (this.#groups.get(task.group)?.slots ?? 0) || !isFirst) continue;
      const [program = '', ...args] = task.argv;
      const env = { PATH: process.env.PATH, TOY_GROUP: task.group };
      const child = spawn(program, args, { cwd: task.directory, env, stdio: 'ignore' });
      Object.assign(task, { phase: 'running', stop: () => child.kill() });
      child.once('close', (exitCode, signal) => {
        const kind = signal !== null ? 'killed' : exitCode === 0 ? 'success' : 'failed';
        Object.assign(task, { phase: 'done', end: { kind, ...(kind === 'failed' ? { exitCode } : {}) } });
        this.#startSome();
      });
    }
  }
}
