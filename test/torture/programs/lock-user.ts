import { appendFileSync, closeSync, openSync, unlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { FileLock, type FlockMechanism } from '../../../src/io/files/flock.js';

// Takes a lock again and again and proves each time that nobody else holds it; ends at SIGTERM.

const config = JSON.parse(process.argv[2] ?? '') as {
  lock: string;
  /** A file that exists exactly while somebody holds the lock. */
  holder: string;
  /** Gets a line each time. */
  taken: string;
  mechanism: FlockMechanism;
};
let ended = false;
process.on('SIGTERM', () => {
  ended = true;
});

const lock = await FileLock.open(config.lock, config.mechanism);
process.stdout.write('ready\n');
while (!ended) {
  await lock.acquire({ limitMs: 60_000 });
  try {
    closeSync(openSync(config.holder, 'wx'));
  } catch {
    process.stderr.write('two holders\n');
    process.exitCode = 1;
  }
  appendFileSync(config.taken, `${process.pid}\n`);
  await delay(Math.random() * 2);
  unlinkSync(config.holder);
  lock.release();
  await delay(Math.random() * 8);
}
lock.close();
