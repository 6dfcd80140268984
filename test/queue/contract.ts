import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SubmitRequest, submitTasks } from '../../src/app/sweep/submit.js';
import { isLive, type NewTask, type QueueTask, type TaskQueue } from '../../src/core/queue/queue.js';
import { FileLock } from '../../src/io/files/flock.js';

/** A queue that nobody else uses. */
export interface QueueUnderTest {
  readonly queue: TaskQueue;
  readonly stop?: () => Promise<void>;
}

/** What an optional part of a queue is called. */
export type Capability = 'addGroup' | 'setSlots' | 'start' | 'clean';

const LIMIT_MS = 30_000;
const GROUP = 'qrun-contract';

/**
 * The tests that every queue passes. `capabilities` are the optional parts that it has: a queue with others, or without
 * one of these, does not pass. The tests of the others are left out.
 */
export function queueContract(
  name: string,
  open: () => Promise<QueueUnderTest>,
  capabilities: readonly Capability[],
): void {
  describe(`contract of the queue ${name}`, () => {
    let under: QueueUnderTest;
    let queue: TaskQueue;
    let root = '';
    let made = 0;
    // Of groups that the queue itself does not know.
    const slotsOf = new Map<string, number>();
    beforeAll(async () => {
      under = await open();
      queue = under.queue;
      root = realpathSync(await mkdtemp(join(tmpdir(), 'qrun queue ')));
    });
    afterAll(async () => {
      await under.stop?.();
      rmSync(root, { recursive: true, force: true });
    });

    const has = (capability: Capability): boolean => capabilities.includes(capability);
    // A part that a queue does not have leaves no test out.
    const whenHas = (capability: Capability) => (title: string, test: () => Promise<void>) => {
      if (has(capability)) it(title, test);
    };

    /** A group of the test's own with so many slots, and labels in a sweep of their own. */
    async function fresh(slots: number): Promise<{ group: string; label: (task: string) => string }> {
      made += 1;
      const group = `${GROUP}-${made}`;
      if (queue.addGroup === undefined) slotsOf.set(group, slots);
      else await queue.addGroup(group, slots);
      return { group, label: task => `qrun:${group}:${task}` };
    }

    const sh = (script: string): string[] => ['/bin/sh', '-c', script];
    const task = (group: string, label: string, argv: readonly string[], more = {}): NewTask => ({
      label,
      argv,
      directory: root,
      group,
      ...(slotsOf.has(group) ? { slots: slotsOf.get(group) as number } : {}),
      ...more,
    });

    async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
      const deadline = performance.now() + LIMIT_MS;
      for (;;) {
        const found = await look();
        if (found !== undefined) return found;
        if (performance.now() > deadline) throw new Error(`${what}: not within ${LIMIT_MS / 1000} s`);
        await delay(20);
      }
    }

    const tasksOf = async (group: string): Promise<readonly QueueTask[]> =>
      (await queue.state()).tasks.filter(one => one.group === group);

    const ended = (label: string): Promise<QueueTask> =>
      until(`the end of ${label}`, async () => {
        const found = (await queue.state()).tasks.find(one => one.label === label);
        if (found === undefined) throw new Error(`${label} is gone`);
        return isLive(found) ? undefined : found;
      });

    const inPhase = (group: string, phase: QueueTask['phase'], count: number): Promise<true> =>
      until(`${count} tasks that are ${phase}`, async () =>
        (await tasksOf(group)).filter(one => one.phase === phase).length === count ? true : undefined,
      );

    const lines = (file: string): string[] =>
      existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8').split('\n').filter(Boolean) : [];

    it('has exactly the parts that are tested here', () => {
      const all: Capability[] = ['addGroup', 'setSlots', 'start', 'clean'];
      expect(all.filter(part => queue[part] !== undefined).sort()).toEqual([...capabilities].sort());
      expect(queue.kind.name).not.toBe('');
      expect(queue.version).not.toBe('');
    });

    it('shows a task as it was added, and runs exactly its words, in its directory, with no input', async () => {
      const { group, label } = await fresh(1);
      const directory = join(root, "-odd $dir' x");
      mkdirSync(directory);
      const odd = ['', ' two  words', '$HOME `id` $(id)', "it's", '"', '\\', '*', '-n', '--', 'a\nb', 'é=ü'];
      const script = 'cat >&2; printf "%s\\0" "$@" > said; pwd > where';
      const argv = [...sh(script), 'sh', ...odd];
      await queue.add([{ label: label('odd: -label'), argv, directory, group, priority: -5 }]);
      const shown = await ended(label('odd: -label'));
      expect(shown).toMatchObject({ group, directory, command: queue.kind.commandText(argv) });
      expect(shown.end).toEqual({ kind: 'success' });
      expect(readFileSync(join(directory, 'said'), 'utf8').split('\0').slice(0, -1)).toEqual(odd);
      expect(readFileSync(join(directory, 'where'), 'utf8')).toBe(`${directory}\n`);
    });

    it('shows equal commands as equal, and others as others', () => {
      const text = (...words: string[]) => queue.kind.commandText(words);
      expect(text('/bin/a', 'b c')).toBe(text('/bin/a', 'b c'));
      expect(new Set([text('/bin/a', 'b c'), text('/bin/a', 'b', 'c'), text('/bin/a', 'b')]).size).toBe(3);
    });

    it('tells how a task ended', async () => {
      const { group, label } = await fresh(3);
      await queue.add([
        task(group, label('good'), sh('exit 0')),
        task(group, label('bad'), sh('exit 20')),
        task(group, label('killed'), sh('kill -9 $$')),
      ]);
      expect((await ended(label('good'))).end?.kind).toBe('success');
      expect((await ended(label('bad'))).end).toMatchObject({ kind: 'failed', exitCode: 20 });
      expect((await ended(label('killed'))).end?.kind).toBe('killed');
    });

    it('calls onAdded for each task in order; of those that it was called for none is lost', async () => {
      const { group, label } = await fresh(2);
      const names = ['a', 'b', 'c'].map(label);
      const added: string[] = [];
      const tasks = names.map(one => task(group, one, sh('exit 0')));
      await queue.add(tasks, one => added.push(one.label));
      expect(added).toEqual(names);
      expect((await tasksOf(group)).map(one => one.label)).toEqual(names);
      if (!has('addGroup')) return;
      const failing = [
        task(group, label('d'), sh('exit 0')),
        task('no such group', label('e'), sh('exit 0')),
      ];
      const refusal = queue.add(failing, one => added.push(one.label));
      await expect(refusal).rejects.toMatchObject({ code: 'QUEUE_FAILED', exitCode: 26 });
      const present = (await queue.state()).tasks.map(one => one.label);
      for (const one of added) expect(present).toContain(one);
    });

    it('takes labels as they are, more than one of them too', async () => {
      const { group, label } = await fresh(2);
      await queue.add([task(group, label('twin'), sh('exit 0')), task(group, label('twin'), sh('exit 0'))]);
      const [one, other] = await tasksOf(group);
      expect([one?.label, other?.label]).toEqual([label('twin'), label('twin')]);
      expect(one?.id).not.toBe(other?.id);
    });

    it('starts tasks of a higher priority first, and else in their order', async () => {
      const { group, label } = await fresh(1);
      const says = (what: string) => sh(`echo ${what} >> order-${made}`);
      await queue.add([task(group, label('first'), sh(`until [ -e go-${made} ]; do sleep 0.02; done`))]);
      await inPhase(group, 'running', 1);
      await queue.add([
        task(group, label('low'), says('low'), { priority: -1 }),
        task(group, label('one'), says('one')),
        task(group, label('two'), says('two')),
        task(group, label('high'), says('high'), { priority: 3 }),
      ]);
      await queue.add([task(group, label('go'), sh('exit 0'), { delay: '3600' })]);
      expect((await tasksOf(group)).map(({ phase }) => phase).slice(1, 5)).toEqual(Array(4).fill('queued'));
      mkdirSync(join(root, `go-${made}`));
      await ended(label('low'));
      expect(lines(`order-${made}`)).toEqual(['high', 'one', 'two', 'low']);
    });

    it('starts a delayed task not before its time', async () => {
      const { group, label } = await fresh(2);
      await queue.add([task(group, label('late'), sh(`echo late >> late-${made}`), { delay: '3600' })]);
      await queue.add([task(group, label('now'), sh('exit 0'))]);
      await ended(label('now'));
      expect((await tasksOf(group)).map(({ phase }) => phase)).toEqual(['delayed', 'done']);
      expect(lines(`late-${made}`)).toEqual([]);
    });

    it('says in the environment of a task that it is one, and of which group', async () => {
      const { group, label } = await fresh(1);
      await queue.add([task(group, label('env'), sh(`env > env-${made}`))]);
      await ended(label('env'));
      const env = Object.fromEntries(lines(`env-${made}`).map(line => line.split(/=(.*)/s).slice(0, 2)));
      expect(queue.kind.taskIn(env)).toEqual({ group });
      expect(queue.kind.taskIn({ PATH: '/bin' })).toBeUndefined();
    });

    whenHas('addGroup')('makes a group once, and keeps its slots when it exists', async () => {
      const { group } = await fresh(3);
      await queue.addGroup?.(group, 7);
      expect((await queue.state()).groups.get(group)).toEqual({ name: group, paused: false, slots: 3 });
    });

    whenHas('setSlots')('runs as many of a group as it has slots, also when that changes', async () => {
      const { group, label } = await fresh(1);
      const waits = sh(`until [ -e go-${made} ]; do sleep 0.02; done`);
      await queue.add(['a', 'b', 'c'].map(one => task(group, label(one), waits)));
      await inPhase(group, 'running', 1);
      await queue.setSlots?.(group, 2);
      await inPhase(group, 'running', 2);
      await queue.setSlots?.(group, 1);
      expect((await tasksOf(group)).filter(({ phase }) => phase === 'running')).toHaveLength(2);
      // Many queues would take 0 as no limit.
      await expect(queue.setSlots?.(group, 0)).rejects.toThrow('0 is not a number of slots');
      mkdirSync(join(root, `go-${made}`));
      await Promise.all(['a', 'b', 'c'].map(one => ended(label(one))));
    });

    whenHas('clean')('removes the finished tasks of one group only', async () => {
      const one = await fresh(1);
      const other = await fresh(1);
      await queue.add([
        task(one.group, one.label('x'), sh('exit 0')),
        task(one.group, one.label('later'), sh('exit 0'), { delay: '3600' }),
        task(other.group, other.label('x'), sh('exit 0')),
      ]);
      await ended(one.label('x'));
      await ended(other.label('x'));
      await queue.clean?.(one.group);
      expect((await tasksOf(one.group)).map(({ label }) => label)).toEqual([one.label('later')]);
      expect(await tasksOf(other.group)).toHaveLength(1);
    });

    it('asks tasks to end by their labels: what waits never starts, what runs gets one SIGTERM, others stay', async () => {
      const { group, label } = await fresh(2);
      const drains = (one: string) =>
        sh(
          `trap "echo ${one} term >> said-${group}; sleep 0.1; echo ${one} end >> said-${group}; exit 143" TERM; echo ${one} >> said-${group}; while :; do sleep 0.02; done`,
        );
      const says = (one: string) => sh(`echo ${one} >> said-${group}`);
      await queue.add([
        task(group, label('runs'), drains('runs')),
        task(group, label('stays'), drains('stays')),
        task(group, label('waits'), says('waits')),
        task(group, label('late'), says('late'), { delay: '3600' }),
        task(group, label('waits too'), says('waits too')),
        task(group, label('waits'), says('twin')),
        task(group, label('after'), says('after')),
      ]);
      await until('both to say so', async () => (lines(`said-${group}`).length === 2 ? true : undefined));
      const names = ['runs', 'waits', 'late', 'unknown'].map(label);
      const { removed, asked } = await queue.cancel(names);
      expect([...removed].sort()).toEqual(['late', 'waits', 'waits'].map(label));
      expect(asked).toEqual([label('runs')]);
      const { end } = await ended(label('runs'));
      // A queue may know that it was the cause.
      if (end?.kind === 'failed') expect(end.exitCode).toBe(143);
      else expect(end?.kind).toBe('killed');
      // The group goes on with what it has.
      await ended(label('after'));
      expect(await queue.cancel(names)).toEqual({ removed: [], asked: [] });
      expect(lines(`said-${group}`).filter(line => line !== 'stays')).toEqual(
        expect.arrayContaining(['runs', 'runs term', 'runs end', 'waits too', 'after']),
      );
      expect(lines(`said-${group}`)).toHaveLength(6);
      expect((await queue.cancel([label('stays')])).asked).toEqual([label('stays')]);
      await ended(label('stays'));
      expect(await queue.cancel([])).toEqual({ removed: [], asked: [] });
    });

    it('cancels tasks that start and end meanwhile: each was removed and never ran, or was asked, or had ended', async () => {
      for (let trial = 0; trial < 4; trial += 1) {
        const { group, label } = await fresh(3);
        const names = Array.from({ length: 14 }, (_, n) => `u${n}`);
        // Some end at once, some on the signal, some in the time that a cancellation takes.
        const script = (n: number) =>
          `echo u${n} >> ran-${group}; trap "exit 143" TERM; ${['', 'sleep 0.05', 'while :; do sleep 0.02; done'][n % 3]}`;
        await queue.add(names.map((one, n) => task(group, label(one), sh(script(n)))));
        await until('some to run', async () => (lines(`ran-${group}`).length > trial ? true : undefined));
        const labels = names.map(label);
        // By two at a time, as two people may.
        const both = await Promise.all([queue.cancel(labels), queue.cancel(labels)]);
        await until('all to end', async () => ((await tasksOf(group)).some(isLive) ? undefined : true));
        const removed = new Set(both.flatMap(one => one.removed));
        const asked = new Set(both.flatMap(one => one.asked));
        const ran = lines(`ran-${group}`).map(label);
        expect(ran.filter(one => removed.has(one))).toEqual([]);
        for (const one of labels) {
          if (removed.has(one) || asked.has(one)) continue;
          expect((await ended(one)).end, one).toBeDefined();
        }
        expect([...asked].filter(one => removed.has(one))).toEqual([]);
      }
    });

    whenHas('addGroup')('cancels waiting tasks that others follow, and those that follow them', async () => {
      const { group, label } = await fresh(2);
      const waits = sh(`until [ -e go-${group} ]; do sleep 0.02; done`);
      const after = queue.kind.last === 'dependency';
      const follows = (...names: string[]) => (after ? { after: names.map(label) } : { priority: -1 });
      await queue.add([
        task(group, label('a'), waits),
        task(group, label('b'), waits),
        task(group, label('c'), waits),
        task(group, label('d'), waits, follows('c')),
        task(group, label('last'), sh(`echo last >> ran-${group}`), follows('a', 'b', 'c', 'd')),
        task(group, label('never'), sh(`echo never >> ran-${group}`), follows('a', 'c')),
      ]);
      await inPhase(group, 'running', 2);
      const { removed } = await queue.cancel(['c', 'd', 'never'].map(label));
      expect([...removed].sort()).toEqual(['c', 'd', 'never'].map(label));
      expect(lines(`ran-${group}`)).toEqual([]);
      mkdirSync(join(root, `go-${group}`));
      await ended(label('last'));
      expect(lines(`ran-${group}`)).toEqual(['last']);
    });

    describe('with a sweep', () => {
      const request = (
        group: string,
        script: (name: string) => string,
        names: readonly string[],
      ): SubmitRequest => ({
        kind: 'unit',
        sweep: group,
        root,
        group,
        slots: 2,
        priority: 0,
        delay: undefined,
        resumeGroup: false,
        tasks: names.map(one => ({ name: one, argv: sh(script(one)) })),
        follower: { argv: sh(`echo audit >> ran-${group}`), isDue: false },
      });

      const submit = (wanted: SubmitRequest) =>
        submitTasks(
          {
            queue,
            lastingQueue: async () => queue,
            locked: async work => {
              const lock = await FileLock.open(join(root, `${wanted.sweep}.lock`));
              try {
                await lock.acquire({ limitMs: LIMIT_MS });
                return await work();
              } finally {
                lock.close();
              }
            },
          },
          wanted,
        );

      it('has each task once, however many submit it at the same time, and its follower last', async () => {
        const { group, label } = await fresh(2);
        const names = Array.from({ length: 8 }, (_, n) => `u${n}`);
        // Some fail, and one is killed: the follower runs all the same.
        const script = (one: string) =>
          `until [ -e go-${group} ]; do sleep 0.02; done; echo ${one} >> ran-${group}; ${one === 'u3' ? 'kill -9 $$' : one === 'u5' ? 'exit 1' : ''}`;
        const wanted = request(group, script, names);
        const reports = await Promise.all([1, 2, 3].map(() => submit(wanted)));
        expect(reports.flatMap(({ submitted }) => submitted).sort()).toEqual(names);
        expect(reports.map(({ follower }) => follower).sort()).toEqual(['submitted', 'waiting', 'waiting']);
        mkdirSync(join(root, `go-${group}`));
        await ended(label('#audit'));
        const ran = lines(`ran-${group}`);
        // By priority it is only started last: what runs beside it, it waits for by itself.
        const before = queue.kind.last === 'dependency' ? names.length : names.length - 1;
        expect(ran.indexOf('audit')).toBeGreaterThanOrEqual(before);
        await Promise.all(names.map(one => ended(label(one))));
        expect(lines(`ran-${group}`).sort()).toEqual(['audit', ...names].sort());
      });

      it('takes more while it runs, and follows those too', async () => {
        const { group, label } = await fresh(2);
        const script = (one: string) =>
          `until [ -e go-${group} ]; do sleep 0.02; done; echo ${one} >> ran-${group}`;
        await submit(request(group, script, ['a', 'b']));
        await inPhase(group, 'running', 2);
        const more = await submit(request(group, script, ['a', 'b', 'c']));
        expect(more).toMatchObject({ submitted: ['c'], running: ['a', 'b'], queued: [] });
        mkdirSync(join(root, `go-${group}`));
        await until('all to end', async () => ((await tasksOf(group)).some(isLive) ? undefined : true));
        const ran = lines(`ran-${group}`);
        expect(ran.filter(one => one !== 'audit').sort()).toEqual(['a', 'b', 'c']);
        expect(ran.lastIndexOf('audit')).toBeGreaterThanOrEqual(queue.kind.last === 'dependency' ? 3 : 2);
        expect((await ended(label('c'))).end?.kind).toBe('success');
      });
    });
  });
}
