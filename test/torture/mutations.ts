/** A safety line of the sources, and the part of the proof that must turn red without it. */
export interface Mutation {
  readonly name: string;
  readonly file: string;
  /** Exactly as it stands in the file, once. */
  readonly line: string;
  readonly without: string;
  readonly proof: Proof;
}

/** A part of the proof: groups of this driver, simulated histories, or a test file of vitest. */
export type Proof =
  | { readonly groups: string }
  | { readonly seeds: number; readonly profile: string }
  | { readonly vitest: string; readonly test?: string };

const LOG = 'src/io/log/result-log.ts';
const LOG_FILE = 'src/io/log/disk.ts';
const SCAN = 'src/core/log/scan/log-scan.ts';
const RUN = 'src/app/unit/pool.ts';
const DATA = 'src/app/setup/embedded-data.ts';
const STORE = 'src/io/engines/embedded/data/store.ts';
const NOTE = 'src/core/engines/data-note.ts';

/** All mutations. */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'the note of a setup is gone before its first statement',
    file: DATA,
    line: '    await notes.removeSetupNote(directory);\n',
    without: '',
    proof: { groups: 'setup-kill' },
  },
  {
    name: 'a data directory gets its name when it is whole',
    file: STORE,
    line: 'const path = newNameOf(this.directory);',
    without: 'const path = this.directory;',
    proof: { groups: 'setup-kill' },
  },
  {
    name: 'a setup counts when all of it has succeeded',
    file: DATA,
    line: '    const before = await buildIn(path, deps, request);\n    await held.seal(',
    without:
      '    const before = await buildIn(path, deps, request).catch((): Tables => new Map());\n    await held.seal(',
    proof: { groups: 'setup-kill' },
  },
  {
    name: 'data is named by the whole chain',
    file: NOTE,
    line: 'chain.map(({ fingerprint }) => fingerprint)',
    without: 'chain.slice(-1).map(({ fingerprint }) => fingerprint)',
    proof: { vitest: 'test/unit/engines/data-note.test.ts' },
  },
  {
    name: 'fdatasync before the acknowledgement',
    file: LOG,
    line: '      await this.#file.sync();\n',
    without: '',
    proof: { seeds: 200, profile: 'power loss' },
  },
  {
    name: 'fdatasync before the acknowledgement (traced system calls)',
    file: LOG,
    line: '      await this.#file.sync();\n',
    without: '',
    proof: { groups: 'write-errors' },
  },
  {
    name: 'sync of what the log already holds when it is opened',
    file: LOG,
    line: 'if (log.#scanner.position > 0) await log.#sync(log.#scanner.position);',
    without: '',
    proof: { seeds: 100, profile: 'power loss' },
  },
  {
    name: 'key check under the lock',
    file: LOG,
    line: 'pending.isWritten = head.rerun || !known;',
    without: 'pending.isWritten = true;',
    proof: { seeds: 100, profile: 'crashes, many writers' },
  },
  {
    name: 'catch-up under the lock',
    file: LOG,
    line: '      await this.#catchUp();\n      await this.#write(',
    without: '      await this.#write(',
    proof: { seeds: 100, profile: 'crashes, many writers' },
  },
  {
    name: 'the lock',
    file: LOG,
    line: 'if (lock.tryAcquireNow() !== true) await lock.acquire({ limitMs: lockLimitMs });',
    without: '',
    proof: { seeds: 100, profile: 'crashes, many writers' },
  },
  {
    name: 'tail check',
    file: LOG,
    line: 'if (tail.tornBytes > 0) await',
    without: 'if (tail.tornBytes < 0) await',
    proof: { groups: 'tails' },
  },
  {
    name: 'size check after the write',
    file: LOG,
    line: 'if (size === expected) return;',
    without: 'if (size >= 0) return;',
    proof: { groups: 'write-errors' },
  },
  {
    name: 'a torn end is cut off only when nobody wrote behind it meanwhile',
    file: LOG,
    line: "      this.#expectSize(size, 'after its torn end was saved');\n",
    without: '',
    proof: { seeds: 400, profile: 'writer without lock' },
  },
  {
    name: 'roll-back of a failed append',
    file: LOG,
    line: '      this.#file.truncate(size);\n',
    without: '',
    proof: { groups: 'write-errors' },
  },
  {
    name: 'nothing is written after a failure',
    file: LOG,
    line: 'if (this.#failure !== undefined) throw this.#failure;',
    without: '',
    proof: { groups: 'sync-errors' },
  },
  {
    name: 'bytes that a failed sync may have lost are written again',
    file: LOG,
    line: '      await this.#file.rewrite(this.#confirmed, end).catch(() => {});\n',
    without: '',
    proof: { seeds: 600, profile: 'disk errors' },
  },
  {
    name: 'one group for a query within a batch',
    file: LOG,
    line: "      if (content.outcome !== 'error') settled.set(query, fingerprint);\n",
    without: '',
    proof: { groups: 'twice' },
  },
  {
    name: 'torn end saved before it is cut off',
    file: LOG,
    line: '      await this.#options.disk.writeNew(savedAs, this.#fragment(goodEnd, size));\n',
    without: '',
    proof: { groups: 'tails' },
  },
  {
    name: 'side file synced before the cut',
    file: LOG_FILE,
    line: '      for await (const chunk of bytes) await file.writeFile(chunk);\n      await file.sync();\n',
    without: '      for await (const chunk of bytes) await file.writeFile(chunk);\n',
    proof: { groups: 'kill-repair' },
  },
  {
    name: 'directory of the log synced when it is opened',
    file: LOG_FILE,
    line: '      await syncDirectory(dirname(path));\n    } catch (error) {\n      file.close();',
    without: '    } catch (error) {\n      file.close();',
    proof: { groups: 'kill-write' },
  },
  {
    name: 'O_APPEND',
    file: 'src/io/files/open-file.ts',
    line: 'constants.O_RDWR | constants.O_APPEND | constants.O_CREAT',
    without: 'constants.O_RDWR | constants.O_CREAT',
    proof: { groups: 'mixed' },
  },
  {
    name: 'damage in the middle is refused',
    file: 'src/core/log/refusals.ts',
    line: '    unreadable(offset, bytes) {\n',
    without: '    unreadable(offset, bytes) {\n      if (offset >= 0) return;\n',
    proof: { groups: 'damage' },
  },
  {
    name: 'length check of a record',
    file: SCAN,
    line: 'if (head?.lineBytes === end - from) this.#known',
    without: 'if (head !== undefined) this.#known',
    proof: { groups: 'damage' },
  },
  {
    name: 'length check of a record that continues a group',
    file: SCAN,
    line: 'if (lineBytes === end - from) {',
    without: 'if (lineBytes > 0) {',
    proof: { vitest: 'test/unit/log/log-scan.test.ts', test: 'continues a group' },
  },
  {
    name: 'the last record before another writer is parsed',
    file: SCAN,
    line: 'if (head.run !== this.#lastRun) this.#parseLast();',
    without: '',
    proof: { vitest: 'test/unit/log/log-scan.test.ts', test: 'exactly as long as what is missing' },
  },
  {
    name: 'a group counts only when it is whole',
    file: SCAN,
    line: 'if (this.#seen === open.parts) this.#complete',
    without: 'if (this.#seen > 1) this.#complete',
    proof: { groups: 'tails' },
  },
  {
    name: 'NUL check of the last line',
    file: SCAN,
    line: 'if (hasNul && chunk.subarray(from, end).includes(0)) {',
    without: 'if (hasNul && from > end) {',
    proof: { groups: 'tails' },
  },
  {
    name: 'the name must still lead to the locked file',
    file: 'src/io/files/flock.ts',
    line: 'if (sameFile(this.#fd, this.path)) {',
    without: 'if (this.#fd >= 0) {',
    proof: { groups: 'lock-holder' },
  },
  {
    name: 'lease of the unit',
    file: 'src/io/log/lease.ts',
    line: 'if (!(await lock.tryAcquire())) {',
    without: 'if ((await lock.tryAcquire()) === undefined) {',
    proof: { groups: 'unit-owner' },
  },
  {
    name: 'proof of a whole body: the end of the answer',
    file: 'src/io/engines/clickhouse/http/proof.ts',
    line: 'if (broken !== undefined ||',
    without: 'for (const _ of []) if (broken !== undefined ||',
    proof: { groups: 'proxy' },
  },
  {
    name: 'proof of a whole body: every line is a row',
    file: 'src/io/engines/result-body.ts',
    line: 'if (this.#bad !== undefined || isOpen) {',
    without: 'if (this.#bad === null) {',
    proof: { groups: 'server-limits' },
  },
  {
    name: 'an INSERT whose answer is lost is not sent again',
    file: 'src/core/engines/retry.ts',
    line: '(readOnly || failure.neverStarted)',
    without: '(readOnly || failure.kind !== undefined)',
    proof: { seeds: 200, profile: 'server faults' },
  },
  {
    name: 'a query that may have killed the server runs alone',
    file: RUN,
    line: 'await this.#admission(alone);',
    without: 'await this.#admission(alone && attempt < 0);',
    proof: { seeds: 300, profile: 'server faults' },
  },
  {
    name: 'what is sent is noted before, where the engine dies with the process',
    file: RUN,
    line: 'inflight?.begin(planned.name, fingerprint, alone && !this.#hasStray);',
    without: 'inflight === null ? -1 : undefined;',
    proof: { groups: 'deaths' },
  },
  {
    name: 'a query that has killed the process twice is not run',
    file: 'src/app/unit/suspects.ts',
    line: 'if (suspect?.proven !== true) return undefined;',
    without: 'if (suspect?.deaths !== 0) return undefined;',
    proof: { groups: 'deaths' },
  },
  {
    name: 'what was in flight when the process died runs alone',
    file: RUN,
    line: 'isSuspect || wasShort || ',
    without: 'wasShort || ',
    proof: { vitest: 'test/unit/unit/suspects.test.ts' },
  },
  {
    name: 'a death is a proof only of what ran alone',
    file: 'src/core/unit/inflight.ts',
    line: 'const isProof = alone && ',
    without: 'const isProof = ',
    proof: { vitest: 'test/unit/unit/inflight.test.ts' },
  },
  {
    name: 'the log knows better than the journal of what is in flight',
    file: 'src/core/unit/inflight.ts',
    line: 'if (isSettled(final, fingerprint)) continue;',
    without: '',
    proof: { vitest: 'test/unit/unit/inflight.test.ts' },
  },
  {
    name: 'a killer is recorded only when nothing is left that could end the process',
    file: RUN,
    line: '      this.#convicted.push({ head: this.#head(planned, print, number, 1), verdict });\n',
    without:
      "      await this.#record(this.#head(planned, print, number, 1), { outcome: 'error', error: verdict }, verdict);\n",
    proof: { vitest: 'test/unit/unit/suspects.test.ts' },
  },
  {
    name: 'a shortage of this process is no result of a query',
    file: RUN,
    line: 'if (failure.shortage !== undefined && ',
    without: 'if (failure.shortage === null && ',
    proof: { vitest: 'test/unit/unit/shortage.test.ts' },
  },
  {
    name: 'lock of the embedded data directory',
    file: 'src/io/engines/embedded/open.ts',
    line: "  if (!('release' in lock)) throw locked(path, lock);\n",
    without: "  if (!('release' in lock)) return await connectTo(connect, path, () => {});\n",
    proof: { vitest: 'test/engines/embedded-lock.test.ts' },
  },
  {
    name: 'the pool parks while the server is away',
    file: RUN,
    line: 'away = await this.#outage.report(result.failure, drain.signal);',
    without: 'away = false;',
    proof: { seeds: 200, profile: 'server faults' },
  },
  {
    name: 'a full server is waited for, and costs no attempt',
    file: RUN,
    line: 'const isFree = refusals > 0 &&',
    without: 'const isFree = refusals < 0 &&',
    proof: { groups: 'server-limits' },
  },
  {
    name: 'discard of a chDB connection that saw an error',
    file: 'src/io/engines/embedded/attempt.ts',
    line: 'if (!mayStay) this.#discardSession();',
    without: '',
    proof: { vitest: 'test/engines/embedded.test.ts' },
  },
  {
    name: 'one judge: the audit refuses the placeholders that a run refuses',
    file: 'src/app/unit/audit.ts',
    line: 'await surveyUnit(request, ',
    without: 'await surveyUnit({ ...request, allowPlaceholders: true }, ',
    proof: { vitest: 'test/unit/unit/judge.test.ts', test: 'agree on every file' },
  },
  {
    name: 'one judge: a file that cannot run makes the unit incomplete',
    file: 'src/core/log/audit.ts',
    line: 'missing.length + partial.length + stale.length + cannotRun.length > 0',
    without: 'missing.length + partial.length + stale.length > 0',
    proof: { vitest: 'test/unit/unit/judge.test.ts', test: 'agree on every file' },
  },
  {
    name: 'one judge: what a run does again is stale',
    file: 'src/core/log/audit.ts',
    line: "if (reason === 'changed') {",
    without: "if (reason === 'new') {",
    proof: { vitest: 'test/unit/unit/judge.test.ts', test: 'agree on every file' },
  },
  {
    name: 'one judge: a query is judged again when its turn comes',
    file: 'src/app/unit/plan.ts',
    line: "if (judgement.kind === 'refused') throw",
    without: "if (judgement.kind === 'refused' && asPlanned !== undefined) throw",
    proof: { vitest: 'test/unit/unit/plan-unit.test.ts', test: 'is refused by what the plan refuses' },
  },
  {
    name: 'one judge: the audit takes the resolved configuration',
    file: 'src/local/unit/audit.ts',
    line: '    inputs,\n    allowPlaceholders',
    without:
      '    inputs: { ...inputs, settings: starts[0]?.settings ?? inputs.settings },\n    allowPlaceholders',
    proof: { vitest: 'test/integration/log/audit-command.test.ts', test: 'by the resolved configuration' },
  },
  {
    name: 'one judge: limits that cut results are part of the fingerprint',
    file: 'src/core/engines/engine-settings.ts',
    line: 'if (entries.some(cuts)) return',
    without: 'if (entries.length < 0) return',
    proof: { vitest: 'test/unit/engines/engine-settings.test.ts', test: 'they are part of it' },
  },
  {
    name: 'one judge: a query that two logs settle is there twice',
    file: 'src/core/log/audit.ts',
    line: 'copied || settledTwice ? { times: 1, lines } : undefined',
    without: 'undefined',
    proof: { vitest: 'test/unit/log/audit.test.ts', test: 'hold it twice' },
  },
  {
    name: 'identity of the answer: the mark of the server',
    file: 'src/io/engines/clickhouse/http/identity.ts',
    line: 'if (name === undefined) return false;',
    without: 'if (name === undefined) return true;',
    proof: { vitest: 'test/engines/clickhouse-foreign.test.ts', test: 'is told from its own' },
  },
  {
    name: 'identity of the answer: the id of the query',
    file: 'src/io/engines/clickhouse/http/identity.ts',
    line: "return queryId === '' || id === queryId",
    without: 'return id.length >= 0',
    proof: {
      vitest: 'test/engines/clickhouse-foreign.test.ts',
      test: 'is told from the answer to another query',
    },
  },
  {
    name: 'identity of the answer: the rows that the server counted',
    file: 'src/io/engines/clickhouse/http/identity.ts',
    line: 'if (isInsert || !(counted > 0) || counted === rows) return undefined;',
    without: 'if (counted >= 0) return undefined;',
    proof: {
      vitest: 'test/engines/clickhouse-foreign.test.ts',
      test: 'what the server says of its own answer',
    },
  },
  {
    name: 'what was asked for is in force: settings that a proxy drops',
    file: 'src/io/engines/clickhouse/in-force.ts',
    line: 'return value !== undefined && value === byClause?.get(name)?.value;',
    without: 'return value !== undefined;',
    proof: { vitest: 'test/engines/clickhouse-in-force.test.ts', test: 'is refused with all that it drops' },
  },
  {
    name: 'the function file() of the embedded engine is closed',
    file: 'src/io/engines/embedded/data/content.ts',
    line: '  closeFileFunction(path, access);',
    without: '',
    proof: { vitest: 'test/security/embedded-sql.test.ts', test: 'in the structure' },
  },
  {
    name: 'what the grants of the embedded engine do not cover is refused',
    file: 'src/io/engines/embedded/attempt.ts',
    line: '    if (outside !== undefined) return { ok: false, failure: refusedFailure(outside) };',
    without: '',
    proof: { vitest: 'test/security/embedded-sql.test.ts', test: 'the source EXECUTABLE' },
  },
  {
    name: 'the embedded engine obeys no configuration but that of qrun',
    file: 'src/io/engines/embedded/config.ts',
    line: "const isNameless = platform() === 'linux';",
    without: "const isNameless = platform() === 'linux';\n    if (isNameless) return use([]);",
    proof: {
      vitest: 'test/engines/embedded-engine.test.ts',
      test: 'obeys no configuration of somebody else',
    },
  },
  {
    name: 'two names of a log are one',
    file: 'src/io/log/place.ts',
    line: 'return realpathSync.native(at);',
    without: 'realpathSync.native(at);\n      return at;',
    proof: { vitest: 'test/integration/log/log-place.test.ts', test: 'realLogPath' },
  },
  {
    name: 'fuzzing: a log is the same log in other pieces',
    file: SCAN,
    line: 'if (this.#head instanceof LineHead && this.#head.bytes === chunk) this.#head.detach();',
    without: '',
    proof: { vitest: 'test/security/fuzz.test.ts', test: 'log' },
  },
  {
    name: 'fuzzing: a file that qrun keeps may hold anything',
    file: 'src/io/log/run-sidecar.ts',
    line: "if (typeof entry?.run !== 'string') return undefined;",
    without: "if (typeof (entry as RunEntry).run !== 'string') return undefined;",
    proof: { vitest: 'test/security/fuzz.test.ts', test: 'state-files' },
  },
];
