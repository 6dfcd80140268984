import { existsSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileLock } from '../../../src/io/files/flock.js';
import { type Child, isInstalled, start, startProgram } from '../child.js';
import { describe, LogTrial } from '../log-trial.js';
import type { Context, Group, Row } from '../tally.js';

/** The holder of the lock stops, is slow, or cannot lock at all. */
export const lockHolder: Group = {
  name: 'lock-holder',
  async run(context) {
    const stopped = context.row('SIGSTOP of the lock holder in mid-write');
    const slow = context.row('lock holder blocked for 1.5 s in mid-write');
    if (context.home.shim === undefined) {
      for (const row of [stopped, slow]) {
        row.leaveOut('needs Linux and gcc');
        row.end();
      }
      return;
    }
    for (let n = 0; n < context.count(2, 8); n += 1) await stoppedHolder(context, stopped, n);
    stopped.end();
    for (let n = 0; n < context.count(1, 4); n += 1) await slowHolder(context, slow, n);
    slow.end();
    await refusedLock(context);
    await replacedLock(context);
  },
};

async function stoppedHolder(context: Context, row: Row, n: number): Promise<void> {
  await row.trial(async trial => {
    const log = newLog(context, 'stopped');
    const mechanism = n % 2 === 0 ? 'koffi' : 'child';
    const holder = log.writer([`write *.ndjson 2 stop ${[500, 0, 1000, 1][n % 4]}`]);
    await untilStopped(holder);
    if (log.firedCount() > 0) trial.injected();
    const before = log.content();
    const waiters = [1, 2, 3].map(() => log.writer([], { lockLimitMs: 700, mechanism }));
    for (const waiter of waiters) {
      const ended = await waiter.ended;
      trial.expect(ended.code === 23, `a waiter: exit code 23 was due: ${describe(ended)}`);
      const names = ended.stderr.includes(`held by pid ${holder.pid} `);
      trial.expect(/^LOCK_BUSY: /.test(ended.stderr) && names, `the holder is not named: ${describe(ended)}`);
    }
    trial.expect(log.content().equals(before), 'somebody wrote while the holder was stopped');
    holder.kill('SIGCONT');
    const ended = await holder.ended;
    trial.expect(ended.code === 0, `the holder after SIGCONT: ${describe(ended)}`);
    await log.finish(trial);
    await log.verdict(trial);
  });
}

async function slowHolder(context: Context, row: Row, n: number): Promise<void> {
  await row.trial(async trial => {
    const log = newLog(context, 'slow');
    const holder = log.writer([`write *.ndjson ${2 + n} delay 1500`]);
    await Promise.race([holder.ended, sleep(300)]);
    const all = [holder, ...[1, 2, 3].map(() => log.writer())];
    for (const ended of await Promise.all(all.map(writer => writer.ended))) {
      trial.expect(ended.code === 0, `a writer: ${describe(ended)}`);
    }
    if (log.firedCount() > 0) trial.injected();
    await log.finish(trial);
    await log.verdict(trial);
  });
}

// A file system without locks: nothing may be written without one.
async function refusedLock(context: Context): Promise<void> {
  const row = context.row('flock(2) fails (ENOLCK, injected by strace)');
  if (!isInstalled('strace')) {
    row.leaveOut('needs strace');
    return row.end();
  }
  for (let when = 1; when <= context.count(1, 6); when += 1) {
    await row.trial(async trial => {
      const log = newLog(context, 'refused', false);
      const ended = await log.stracedWriter('flock', `error=ENOLCK:when=${when}`).ended;
      if (/PTRACE|strace: /.test(ended.stderr)) {
        row.leaveOut('strace may not trace processes here');
        return;
      }
      trial.injected(log.stracedCount());
      if (when % 2 === 1) {
        const named = /^LOCK_FAILED: .*errno 37/m.test(ended.stderr);
        trial.expect(ended.code === 23 && named, `not named: ${describe(ended)}`);
      } else {
        // A lock that cannot be given back is kept to the end of the process, and harms nobody's records.
        trial.expect(ended.code === 0, `lock not given back: ${describe(ended)}`);
      }
      await log.finish(trial);
      await log.verdict(trial);
    });
  }
  row.end();
}

// Somebody tidies up and removes the lock file: those who come later lock another file than those who have the old
// one open. All must end up with the one that has the name.
async function replacedLock(context: Context): Promise<void> {
  const row = context.row('lock file removed and created again under 8 waiters');
  await row.trial(async trial => {
    const place = context.places.disk('replaced');
    const path = join(place.directory, 'unit.ndjson.lock');
    const holder = await FileLock.open(path);
    await holder.acquire({ limitMs: 1_000 });
    const waiters = await Promise.all(Array.from({ length: 8 }, () => FileLock.open(path)));
    let inside = 0;
    const enter = async (waiter: FileLock): Promise<void> => {
      await waiter.acquire({ limitMs: 30_000 });
      inside += 1;
      trial.expect(inside === 1, `${inside} hold the lock`);
      await sleep(5);
      inside -= 1;
      waiter.close();
    };
    const work = waiters.map(enter);
    await sleep(20);
    unlinkSync(path);
    trial.injected();
    // Everybody has the removed file open, which becomes free now; those who come later make a new one.
    holder.release();
    const late = await Promise.all(Array.from({ length: 4 }, () => FileLock.open(path)));
    await Promise.all([...work, ...late.map(enter)]);
    holder.close();
    await place.remove();
  });
  row.end();
}

function newLog(context: Context, name: string, traced = true): LogTrial {
  const place = context.places.disk(name);
  return new LogTrial({
    home: context.home,
    place,
    queries: 30,
    shape: { rows: 3, rowBytes: 5_000 },
    traced,
  });
}

async function untilStopped(child: Child): Promise<void> {
  while (!child.done()) {
    const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
    if (/^\d+ \(.*\) T /.test(stat)) return;
    // The kernel tells nobody but the parent's waitpid, which Node does not offer.
    await sleep(5);
  }
}

const WAITERS = 8;

/** Eight waiters on the lock of a holder that dies: never two holders, and no wait until a timeout. */
export const stampede: Group = {
  name: 'stampede',
  async run(context) {
    const row = context.row(`${WAITERS} waiters on a dead holder's lock`);
    if (!isInstalled('flock')) {
      row.leaveOut('needs flock');
      return row.end();
    }
    const place = context.places.disk('stampede');
    const lock = join(place.directory, 'unit.ndjson.lock');
    const taken = join(place.aside, 'taken');
    const waiters = Array.from({ length: WAITERS }, (_, n) =>
      startProgram(
        context.home,
        'lock-user.js',
        { lock, taken, holder: join(place.aside, 'holder'), mechanism: n < 2 ? 'child' : 'koffi' },
        { limitMs: 600_000 },
      ),
    );
    await Promise.all(waiters.map(waiter => waiter.says('ready')));
    let slowestMs = 0;
    for (let round = 0; round < context.count(30, 600); round += 1) {
      await row.trial(async trial => {
        // Execs: the process that is killed is the one that holds the lock.
        const holder = start(context.home, 'flock', [
          '--no-fork',
          lock,
          'sh',
          '-c',
          'echo held; exec sleep 60',
        ]);
        await holder.says('held');
        const before = lines(taken);
        await sleep(20);
        trial.expect(lines(taken) === before, 'a waiter took the lock of a living holder');
        const killedMs = performance.now();
        holder.kill('SIGKILL');
        await holder.ended;
        trial.injected();
        while (lines(taken) === before && performance.now() - killedMs < 5_000) await sleep(1);
        slowestMs = Math.max(slowestMs, performance.now() - killedMs);
        trial.expect(lines(taken) > before, 'nobody took the lock of a dead holder within 5 s');
      });
    }
    for (const waiter of waiters) waiter.kill('SIGTERM');
    for (const ended of await Promise.all(waiters.map(waiter => waiter.ended))) {
      if (ended.code !== 0) row.add(0, 0, [`a waiter ended with ${describe(ended)}`]);
    }
    row.note(`slowest takeover ${Math.round(slowestMs)} ms, ${lines(taken)} locks taken`);
    row.end();
    await place.remove();
  },
};

function lines(path: string): number {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0;
}

/** Two shell scripts that append under `flock LOG.lock`, beside two writers of qrun. */
export const mixed: Group = {
  name: 'mixed',
  async run(context) {
    const plain = context.row('2 shell writers beside 2 writers of qrun');
    if (!isInstalled('flock')) {
      plain.leaveOut('needs flock');
      return plain.end();
    }
    for (let n = 0; n < context.count(2, 10); n += 1) await mixedWriters(context, plain, n, false);
    plain.end();
    const killed = context.row('the same, and qrun killed in mid-write');
    if (context.home.shim === undefined) killed.leaveOut('needs Linux and gcc');
    else for (let n = 0; n < context.count(2, 20); n += 1) await mixedWriters(context, killed, n, true);
    killed.end();
  },
};

async function mixedWriters(context: Context, row: Row, n: number, kill: boolean): Promise<void> {
  await row.trial(async trial => {
    const random = context.random(`mixed-${kill}-${n}`);
    const place = context.places[n % 2 === 0 ? 'disk' : 'memory']('mixed');
    const shape = { rows: 3, rowBytes: random.int(100, 20_000) };
    const log = new LogTrial({ home: context.home, place, queries: 60, shape });
    const journal = join(place.aside, 'shell-journal');
    const shells = ['a', 'b'].map(name =>
      start(context.home, 'sh', [
        context.home.program('shell-writer.sh'),
        ...[log.log, name, '40', String(random.int(10, 20_000)), journal],
      ]),
    );
    const rules = (): string[] =>
      kill ? [`write *.ndjson ${random.int(1, 8)} kill ${random.int(1, 999)}`] : [];
    const writers = [1, 2].map(() =>
      log.writer(rules(), { shuffle: random.int(0, 1000), lockLimitMs: 60_000 }),
    );
    const ends = await Promise.all(writers.map(writer => writer.ended));
    for (const shell of shells) {
      const ended = await shell.ended;
      trial.expect(ended.code === 0, `a shell writer: ${describe(ended)}`);
    }
    if (!kill) trial.injected(shells.length);
    for (const ended of ends) {
      if (kill && ended.signal === 'SIGKILL') trial.injected();
      else if (!(kill && ended.stderr.startsWith('LOG_DAMAGED'))) {
        trial.expect(ended.code === 0, `a writer: ${describe(ended)}`);
      }
    }
    const shellAcks = readFileSync(journal, 'utf8').split('\n').slice(0, -1);
    trial.expect(shellAcks.length === 80, `the shell writers wrote ${shellAcks.length} groups`);
    if (log.unglue().length > 0) await gluedEnd(trial, log);
    await log.finish(trial);
    // A group that a kill tore at a line's end stays as it is when a shell writer came next.
    await log.verdict(trial, { shellAcks, splitGroups: kill });
  });
}

// A shell writer that comes first after a torn end glues its line to it: damage that qrun refuses to touch and
// names by its place. Parting the two restores everything that was acknowledged.
async function gluedEnd(trial: Parameters<Parameters<Row['trial']>[0]>[0], log: LogTrial): Promise<void> {
  const before = log.content();
  const [glued] = log.unglue();
  const ended = await log.writer().ended;
  trial.expect(ended.code === 23, `a glued line: exit code 23 was due: ${describe(ended)}`);
  const named = ended.stderr.startsWith('LOG_DAMAGED') && ended.stderr.includes(`byte ${glued?.offset} `);
  trial.expect(named, `the glued line at ${glued?.offset} is not named: ${describe(ended)}`);
  trial.expect(log.content().equals(before), 'qrun changed a damaged log');
  log.repairGlued();
}
