import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { HTTP_PARAMETERS } from '../core/engine-settings.js';
import { type Failure, ownFailure } from '../core/failure.js';
import type { HttpChannel } from './clickhouse-http.js';
import type { ResultBody, SpoolOptions } from './result-body.js';

// A query ends at its next block, and a block takes seconds at most.
const CANCEL_LIMIT_MS = 5000;
const FIRST_WAIT_MS = 25;
const LONGEST_WAIT_MS = 400;
// KILL answers with the text of each query that it met.
const KILL_SPOOL: SpoolOptions = { directory: tmpdir(), thresholdBytes: 64 * 1024 * 1024 };

interface Entry {
  readonly settle: (notCancelled: Failure | undefined) => void;
  /** KILLs in a row that did not meet the query. */
  absent: number;
  reason: Failure;
}

/**
 * Cancels queries on the server.
 *
 * All that are to be cancelled at the same time go into one KILL QUERY, because on a busy server each KILL takes
 * some 200 ms, and Ctrl-C cancels as many queries as run. Give it a channel that no query uses, so that a KILL
 * never waits for what it is to end.
 */
export class Canceller {
  readonly #control: HttpChannel;
  readonly #entries = new Map<string, Entry>();
  #looping = false;

  constructor(control: HttpChannel) {
    this.#control = control;
  }

  /**
   * Cancels a query and waits until the server no longer knows it. Resolves with `undefined` when it is gone,
   * else with the reason why it may still run; never rejects, and takes at most 5 seconds.
   */
  cancel(queryId: string): Promise<Failure | undefined> {
    return new Promise(resolve => {
      const seconds = CANCEL_LIMIT_MS / 1000;
      const unanswered = ownFailure('TIMEOUT', 'unknown', `KILL QUERY had no answer within ${seconds} s`);
      const entry: Entry = {
        absent: 0,
        reason: { ...unanswered, serverGone: true },
        settle: notCancelled => {
          clearTimeout(timer);
          this.#entries.delete(queryId);
          resolve(notCancelled);
        },
      };
      const timer = setTimeout(() => entry.settle(entry.reason), CANCEL_LIMIT_MS);
      this.#entries.set(queryId, entry);
      if (!this.#looping) void this.#loop();
    });
  }

  async #loop(): Promise<void> {
    this.#looping = true;
    // Those that are cancelled by the same event come in the same turn of the event loop.
    await sleep(0);
    for (let round = 1, waitMs = FIRST_WAIT_MS; this.#entries.size > 0; round += 1) {
      try {
        await this.#round(round);
      } catch (error) {
        // The answer was no list of queries; the limit of each entry goes on.
        const reason = ownFailure('KILL_FAILED', 'unknown', `KILL QUERY failed: ${(error as Error).message}`);
        for (const entry of this.#entries.values()) entry.reason = reason;
      }
      if (this.#entries.size > 0) await sleep(waitMs);
      waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
    }
    this.#looping = false;
  }

  async #round(round: number): Promise<void> {
    const asked = [...this.#entries];
    const ids = asked.map(([id]) => id);
    // KILL is the check too: it answers with the queries that it met, and is exempt from the server's limit of
    // queries. ASYNC returns at once; SYNC would wait without a limit.
    const call = {
      sql: `KILL QUERY WHERE query_id IN (${ids.map(quoted).join(', ')}) ASYNC`,
      queryId: `${ids[0]}-kill-${round}`,
      query: HTTP_PARAMETERS,
      spool: KILL_SPOOL,
    };
    const answer = await this.#control.call(call, AbortSignal.timeout(CANCEL_LIMIT_MS));
    if (!answer.ok) {
      const { failure } = answer;
      for (const [, entry] of asked) {
        entry.reason = failure;
        if (failure.serverGone || failure.kind === 'permanent') entry.settle(failure);
      }
      return;
    }
    const met = await idsIn(answer.body);
    for (const [id, entry] of asked) {
      entry.reason = ownFailure(
        'STILL_RUNNING',
        'unknown',
        `it did not end within ${CANCEL_LIMIT_MS / 1000} s`,
      );
      // Twice, because a request that was cut may reach the server after the first KILL.
      entry.absent = met.has(id) ? 0 : entry.absent + 1;
      if (entry.absent === 2) entry.settle(undefined);
    }
  }
}

async function idsIn(body: ResultBody): Promise<ReadonlySet<string>> {
  const chunks: Buffer[] = [];
  for await (const chunk of body.chunks()) chunks.push(chunk);
  await body.dispose();
  const lines = Buffer.concat(chunks).toString('utf8').split('\n').filter(Boolean);
  return new Set(lines.map(line => String((JSON.parse(line) as { query_id?: unknown }).query_id)));
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
